"""`version`: prints the version of the plugin, without asking the cluster."""

from typing import Final

from kubectl_pipedrive.command_line import PROGRAM, Arguments, Command, Invocation
from pipedrive_operator import __version__


def version(invocation: Invocation, _: Arguments) -> int:
    """Print the version."""
    invocation.terminal.line(f"{PROGRAM} {__version__}")
    return 0


_COMMAND: Final = Command(
    words=("version",),
    most=0,
    summary="Print the version of the plugin.",
    description=(
        "`kubectl pipedrive --version` prints the same. The command does not contact the cluster; "
        "`kubectl pipedrive check` shows the version of the operator, as far as you can see it."
    ),
    examples=(("The version", "kubectl pipedrive version"),),
    exit_codes="0 printed, 2 wrong usage.",
    run=version,
)
COMMANDS: Final = (_COMMAND,)
