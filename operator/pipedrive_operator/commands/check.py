"""`check`: checks everything that the operator needs, and prints what is missing and how to fix it."""

import asyncio
import json
import sys
from pathlib import Path

import click

from pipedrive_operator.commands.options import config_option, settings_or_exit


@click.command()
@config_option
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Output format."
)
def check(config: Path | None, output: str) -> None:
    """Check everything that the operator needs, and show how to fix what is missing.

    The API server, the CRD, the permissions, each Vault and Pipedrive are checked. Nothing is changed.

    \b
    Exit codes: 0 everything works, 1 something is missing, 2 unusable settings.
    """  # noqa: D301  click keeps the lines after a backspace as they are
    settings = settings_or_exit(config)
    from pipedrive_operator.preflight import check_everything  # noqa: PLC0415  slow to import, not needed for --help

    findings = asyncio.run(check_everything(settings))
    if output == "json":
        click.echo(json.dumps([finding.as_dict() for finding in findings], indent=2))
    else:
        unicode = (sys.stdout.encoding or "").lower().startswith("utf")
        click.echo("\n".join(finding.as_text(unicode=unicode) for finding in findings))
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)
