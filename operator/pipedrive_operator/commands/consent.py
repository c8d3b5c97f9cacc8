"""`consent`: runs the consent front, the web server behind the links of consents."""

import asyncio
from pathlib import Path

import click

from pipedrive_operator.commands.options import config_option, settings_or_exit


@click.command()
@config_option
def consent(config: Path | None) -> None:
    """Serve the pages on which people connect a credential to their Pipedrive account.

    It needs `consent.publicUrl`, and permission to get and patch PipedriveConsents. It uses no Vault and no Secret.

    \b
    Exit codes: 0 stopped, 1 failed, 2 unusable settings.
    """  # noqa: D301  click keeps the lines after a backspace as they are
    settings = settings_or_exit(config)
    public_address = settings.consent.public_address
    if public_address is None:
        click.echo("The settings cannot be used:\nconsent.publicUrl: is required to serve the consent pages", err=True)
        raise SystemExit(2)
    from pipedrive_operator import log  # noqa: PLC0415  slow to import, not needed for --help
    from pipedrive_operator.core.values.errors import ApiServerUnavailable  # noqa: PLC0415  slow to import, not needed for --help
    from pipedrive_operator.front.run import run  # noqa: PLC0415  slow to import, not needed for --help

    log.configure(settings.log)
    try:
        asyncio.run(run(settings, public_address))
    except (ApiServerUnavailable, OSError) as error:
        raise click.ClickException(str(error)) from error
