"""Entry point of the command `pipedrive-operator` and of `python -m pipedrive_operator`."""

import sys


def main() -> None:
    """Run the command that the arguments name.

    The token endpoint is run directly: as a sidecar it must start without importing the rest of the operator.
    """
    if sys.argv[1:2] == ["token-endpoint"]:
        from pipedrive_operator.token_endpoint.command import main as token_endpoint  # noqa: PLC0415  see above

        raise SystemExit(token_endpoint(sys.argv[2:]))
    from pipedrive_operator.commands import main as commands  # noqa: PLC0415  see above

    commands(prog_name="pipedrive-operator")


if __name__ == "__main__":
    main()
