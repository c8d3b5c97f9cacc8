"""Entry point of the command `pipedrive-operator` and of `python -m pipedrive_operator`."""

import gc
import sys

from pipedrive_operator.unused_parts import leave_out_openssl, leave_out_unused_parts


def main() -> None:
    """Run the command that the arguments name.

    The token endpoint is run directly: as a sidecar it must start without importing the rest of the operator.
    """
    if sys.argv[1:2] == ["token-endpoint"]:
        leave_out_openssl()
        from pipedrive_operator.token_endpoint.command import main as token_endpoint  # noqa: PLC0415  see above

        raise SystemExit(token_endpoint(sys.argv[2:]))
    # What an import creates is hardly ever garbage. Searching it less often saves a twentieth of the start.
    gc.set_threshold(10_000)
    leave_out_unused_parts()
    from pipedrive_operator.commands import main as commands  # noqa: PLC0415  after what must not be imported

    commands(prog_name="pipedrive-operator")


if __name__ == "__main__":
    main()
