"""`crd`: prints the CustomResourceDefinition for kubectl."""

import json

import click
import yaml


@click.command("crd")
@click.option(
    "-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="Output format."
)
def print_crd(output: str) -> None:
    """Print the CustomResourceDefinition of this version.

    \b
    To install or upgrade it:
      pipedrive-operator crd | kubectl apply --server-side -f -
    """  # noqa: D301  click keeps the lines after a backspace as they are
    from pipedrive_operator.crd import custom_resource_definition  # noqa: PLC0415  slow to import, not needed for --help

    definition = custom_resource_definition()
    text = json.dumps(definition, indent=2) + "\n" if output == "json" else yaml.safe_dump(definition, sort_keys=False)
    click.echo(text, nl=False)
