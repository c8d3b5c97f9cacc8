"""`check`: whether everything that the operator needs can be reached, with which rights, and what to do where not."""

import asyncio
import json
import sys
from pathlib import Path

import click

from pipedrive_operator.commands.options import config_option, settings_or_exit


@click.command()
@config_option
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="The format."
)
def check(config: Path | None, output: str) -> None:
    """Check, step by step, what the operator needs, and say what to do about what is missing.

    It asks the API server, the CRD, RBAC, each Vault and Pipedrive; it changes nothing.

    \b
    Exit codes: 0 all is well, 1 something is missing, 2 unusable settings.
    """  # noqa: D301  the backspace is click\'s mark for lines to keep
    settings = settings_or_exit(config)
    from pipedrive_operator import preflight as checks  # noqa: PLC0415  heavy, and not needed for --help

    findings = asyncio.run(checks.examine(settings))
    if output == "json":
        click.echo(json.dumps([finding.as_dict() for finding in findings], indent=2))
    else:
        unicode = (sys.stdout.encoding or "").lower().startswith("utf")
        click.echo("\n".join(checks.told(finding, unicode=unicode) for finding in findings))
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)
