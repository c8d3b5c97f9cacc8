"""`python -m testbed.node`: prepares this machine for the node tier, or reports why it cannot run here."""

import click

from testbed import binaries
from testbed.go_build import BuildError
from testbed.node import image, machine

_PROGRAMS = (*binaries.TESTS_NEED, "kube-scheduler", "kubelet", "helm")
_MB = 1_000_000


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--obstacles", is_flag=True, help="Print why this machine cannot be a node, and do nothing.")
def main(*, obstacles: bool) -> None:
    """Install Debian packages, build programs, and build the operator's image."""
    if obstacles:
        click.echo("\n".join(machine.obstacles()), nl=False)
        return
    try:
        machine.install_packages()
        binaries.ensure(*_PROGRAMS)
        built = image.operator()
    except (machine.MachineError, BuildError, image.ImageError) as error:
        raise click.ClickException(str(error)) from error
    sizes = f"{built.compressed / _MB:.0f} MB compressed, {built.unpacked / _MB:.0f} MB unpacked"
    click.echo(f"{image.IMAGE}\t{built.archive}\t{sizes}")


if __name__ == "__main__":
    main()
