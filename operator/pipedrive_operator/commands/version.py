"""`version`: prints the version."""

import json
import platform

import click

from pipedrive_operator import __version__


@click.command()
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Output format."
)
def version(output: str) -> None:
    """Print the versions of the operator and of Python."""
    python = platform.python_version()
    if output == "json":
        click.echo(json.dumps({"version": __version__, "python": python}))
    else:
        click.echo(f"pipedrive-operator {__version__} (Python {python})")
