"""`crd`: prints the CustomResourceDefinitions for kubectl."""

import json

import click
import yaml


@click.command("crd")
@click.option(
    "-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="Output format."
)
def print_crd(output: str) -> None:
    """Print the CustomResourceDefinitions of this version.

    \b
    To install or upgrade them:
      pipedrive-operator crd | kubectl apply --server-side -f -
    """  # noqa: D301  click keeps the lines after a backspace as they are
    from pipedrive_operator.crd import (  # noqa: PLC0415  slow to import, not needed for --help
        consent_definition,
        custom_resource_definition,
    )

    definitions = [custom_resource_definition(), consent_definition()]
    if output == "json":
        click.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": definitions}, indent=2))
    else:
        click.echo(yaml.safe_dump_all(definitions, sort_keys=False), nl=False)
