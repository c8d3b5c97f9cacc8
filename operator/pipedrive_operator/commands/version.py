"""`version`: which one this is."""

import json
import platform

import click

from pipedrive_operator import __version__


@click.command()
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="The format."
)
def version(output: str) -> None:
    """Print the version of the operator and of its Python."""
    python = platform.python_version()
    if output == "json":
        click.echo(json.dumps({"version": __version__, "python": python}))
    else:
        click.echo(f"pipedrive-operator {__version__} (Python {python})")
