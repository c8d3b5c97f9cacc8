"""The commands, one module each. A command imports what it needs when it runs, so that `--help` is fast."""

import click

from pipedrive_operator.commands.check import check
from pipedrive_operator.commands.consent import consent
from pipedrive_operator.commands.crd import print_crd
from pipedrive_operator.commands.run import run
from pipedrive_operator.commands.token_endpoint import token_endpoint
from pipedrive_operator.commands.version import version


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Keep a Kubernetes Secret filled with a credential that Pipedrive accepts.

    \b
    First steps:
      pipedrive-operator crd | kubectl apply --server-side -f -
      pipedrive-operator check --config settings.yaml
      pipedrive-operator run --config settings.yaml
    """  # noqa: D301  click keeps the lines after a backspace as they are


for command in (run, check, consent, print_crd, token_endpoint, version):
    main.add_command(command)
