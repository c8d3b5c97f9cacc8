"""`crd`: the CustomResourceDefinition, for kubectl."""

import json

import click
import yaml


@click.command("crd")
@click.option(
    "-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="The format."
)
def print_crd(output: str) -> None:
    """Print the CustomResourceDefinition that this version needs.

    \b
    Install or upgrade it:
      pipedrive-operator crd | kubectl apply --server-side -f -
    """  # noqa: D301  the backspace is click\'s mark for lines to keep
    from pipedrive_operator.crd import crd  # noqa: PLC0415  heavy, and not needed for --help

    definition = crd()
    text = json.dumps(definition, indent=2) + "\n" if output == "json" else yaml.safe_dump(definition, sort_keys=False)
    click.echo(text, nl=False)
