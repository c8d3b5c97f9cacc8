"""`run`: runs the operator."""

import asyncio
import gc
from pathlib import Path

import click

from pipedrive_operator.commands.options import config_option, settings_or_exit


@click.command()
@config_option
def run(config: Path | None) -> None:
    """Run the operator until it receives SIGTERM or SIGINT.

    While something that it needs is missing, such as the CRD, it waits and reports this in its log and at /readyz. At
    the end it stores refreshed grants in Vault before it exits.

    \b
    Exit codes: 0 stopped, 1 failed, 2 unusable settings.
    """  # noqa: D301  click keeps the lines after a backspace as they are
    settings = settings_or_exit(config)
    from pipedrive_operator import log, wiring  # noqa: PLC0415  slow to import, not needed for --help
    from pipedrive_operator.core.values.errors import ApiServerUnavailable  # noqa: PLC0415  slow to import, not needed for --help

    log.configure(settings.log)
    # Imported modules are never garbage. Not searching them, and searching less often, which `__main__` sets, saves a
    # tenth of the CPU time.
    gc.freeze()
    try:
        asyncio.run(wiring.run(settings))
    except ApiServerUnavailable as error:
        raise click.ClickException(str(error)) from error
