"""`token-endpoint`: listed here with the other commands; `__main__` runs it without importing them."""

import click


@click.command(
    "token-endpoint",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
    short_help="Serve mounted access tokens to OAuth2 clients.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def token_endpoint(arguments: tuple[str, ...]) -> None:
    """Serve the access token of a mounted Secret to an OAuth2 client, such as n8n."""
    from pipedrive_operator.token_endpoint.command import main  # noqa: PLC0415  only this command needs it

    raise SystemExit(main(list(arguments)))
