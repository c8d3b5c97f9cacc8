"""`pipedrive-operator`, and `python -m pipedrive_operator`."""

import sys


def main() -> None:
    """Run the command that the arguments name.

    The token endpoint goes its own way: it must start without what the operator imports.
    """
    if sys.argv[1:2] == ["token-endpoint"]:
        from pipedrive_operator.token_endpoint.command import main as token_endpoint  # noqa: PLC0415  no other needs it

        raise SystemExit(token_endpoint(sys.argv[2:]))
    from pipedrive_operator.commands import main as commands  # noqa: PLC0415  the token endpoint does not need it

    commands(prog_name="pipedrive-operator")


if __name__ == "__main__":
    main()
