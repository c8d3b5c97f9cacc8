"""Writes the help of a command with the sections of kubectl's own: text, examples, options, usage."""

import textwrap
from collections.abc import Sequence
from typing import Final

from kubectl_pipedrive.command_line import PROGRAM, Command, Option

_WIDTH: Final = 99
_CLUSTER: Final = (
    "The flags of kubectl that choose the namespace, the cluster and the user have the same meaning here:\n"
    "-n, --context, --kubeconfig, --as and so on. Write them after `kubectl pipedrive`: kubectl\n"
    "accepts no flag before the name of a plugin. docs/cli.md lists them."
)
_INTRODUCTION: Final = """\
See whether your Pipedrive credentials work, what is wrong if not, and what to do next.

 A PipedriveCredential is a Kubernetes resource. The operator reads its token from Vault, checks it
 with Pipedrive, and publishes it in a Secret for your workloads. These commands are for the people
 who own such a credential. They call kubectl with your own permissions, and never show a token.
 Begin with `kubectl pipedrive status`."""


def command_help(command: Command) -> str:
    """Return the help of one command."""
    sections = [
        f"{command.summary}\n\n{textwrap.indent(folded(command.description), ' ')}",
        f"Examples:\n{_examples(command)}",
        *([f"Options:\n{_options(command.options)}"] if command.options else []),
        f"Usage:\n  {usage(command)}",
        f"Exit codes: {command.exit_codes}",
        _CLUSTER,
    ]
    return "\n\n".join(sections)


def root_help(groups: Sequence[tuple[str, Sequence[Command]]]) -> str:
    """Return the list of the commands."""
    width = max(len(command.name) for _, commands in groups for command in commands)
    lists = [
        f"{title}:\n" + "\n".join(f"  {command.name:<{width}}   {command.summary}" for command in commands)
        for title, commands in groups
    ]
    usage_lines = (
        f"Usage:\n  {PROGRAM} COMMAND [options]\n  {PROGRAM} --version\n\n"
        f"Use `{PROGRAM} COMMAND --help` for examples and options."
    )
    return "\n\n".join((_INTRODUCTION, *lists, usage_lines, _CLUSTER))


def usage(command: Command) -> str:
    """Return the usage line of a command."""
    parts = (PROGRAM, command.name, command.arguments, "[options]")
    return " ".join(part for part in parts if part)


def signature(option: Option) -> str:
    """Return an option with its short name, its value and its default, such as `-o, --output=FORMAT`."""
    value = f"={option.value}" if option.value is not None else ""
    default = f" (default {option.default})" if option.default is not None else ""
    return f"{', '.join(option.flags)}{value}{default}"


def folded(text: str) -> str:
    """Return paragraphs with lines of readable length; a paragraph that begins with a space is left as it is."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(one if one.startswith(" ") else textwrap.fill(one, _WIDTH) for one in paragraphs)


def _examples(command: Command) -> str:
    return "\n\n".join(f"  # {comment}\n  {line}" for comment, line in command.examples)


def _options(options: Sequence[Option]) -> str:
    return "\n\n".join(
        f"    {signature(one)}:\n{textwrap.indent(textwrap.fill(one.help, 92), ' ' * 8)}" for one in options
    )
