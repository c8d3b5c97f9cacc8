"""`run`: the operator itself."""

import asyncio
import gc
from pathlib import Path

import click

from pipedrive_operator.commands.options import config_option, settings_or_exit


@click.command()
@config_option
def run(config: Path | None) -> None:
    """Run the operator until it is told to stop.

    It needs the CRD, waits for whatever is missing, and says so in its log and at /readyz. SIGTERM and SIGINT end it in
    order: what a refresh has won is stored first.

    \b
    Exit codes: 0 stopped, 1 failed, 2 unusable settings.
    """  # noqa: D301  the backspace is click\'s mark for lines to keep
    settings = settings_or_exit(config)
    from pipedrive_operator import log, wiring  # noqa: PLC0415  heavy, and not needed for --help
    from pipedrive_operator.core.values.errors import ApiServerUnavailable  # noqa: PLC0415  heavy, and not needed for --help

    log.configure(settings.log)
    # What was imported stays: looking for garbage among it, and as often as by default, is a tenth of the work.
    gc.freeze()
    gc.set_threshold(10_000)
    try:
        asyncio.run(wiring.run(settings))
    except ApiServerUnavailable as error:
        raise click.ClickException(str(error)) from error
