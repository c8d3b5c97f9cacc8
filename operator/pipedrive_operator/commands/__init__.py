"""The commands, one module each. What a command needs is loaded when it runs, so that `--help` is quick."""

import click

from pipedrive_operator.commands.check import check
from pipedrive_operator.commands.crd import print_crd
from pipedrive_operator.commands.run import run
from pipedrive_operator.commands.token_endpoint import token_endpoint
from pipedrive_operator.commands.version import version


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Keep a Pipedrive credential that Pipedrive accepts in a Kubernetes Secret.

    \b
    First steps:
      pipedrive-operator crd | kubectl apply --server-side -f -
      pipedrive-operator check --config settings.yaml
      pipedrive-operator run --config settings.yaml
    """  # noqa: D301  the backspace is click\'s mark for lines to keep


for command in (run, check, print_crd, token_endpoint, version):
    main.add_command(command)
