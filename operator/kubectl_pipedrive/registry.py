"""All commands, in the groups and the order of the help. Only the modules that a command line needs are imported."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Final

from kubectl_pipedrive.command_line import Command, first_word

_MODULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "status": "status",
        "check": "check",
        "explain": "explain",
        "connect": "connect",
        "refresh": "refresh",
        "suspend": "suspend",
        "resume": "suspend",
        "new": "new",
        "migrate": "migrate",
        "version": "version",
    }
)
"""The first word of each command, and the module in `commands/` that has it."""
_GROUPS: Final = (
    ("Find out", ("status", "check", "explain", "version")),
    ("Act", ("connect", "refresh", "suspend", "resume")),
    ("Begin", ("new", "migrate")),
)


def first_words() -> tuple[str, ...]:
    """Return the first word of each command, without importing any."""
    return tuple(_MODULES)


def commands_for(arguments: Sequence[str]) -> tuple[Command, ...]:
    """Return the commands that a command line can mean: those with its first word, or all."""
    word = first_word(arguments)
    return _load(word) if word in _MODULES else every_command()


def every_command() -> tuple[Command, ...]:
    """Return all commands."""
    return tuple(command for _, commands in groups() for command in commands)


def groups() -> list[tuple[str, tuple[Command, ...]]]:
    """Return all commands by groups."""
    return [(title, tuple(command for word in words for command in _load(word))) for title, words in _GROUPS]


def _load(word: str) -> tuple[Command, ...]:
    commands: tuple[Command, ...] = import_module(f"kubectl_pipedrive.commands.{_MODULES[word]}").COMMANDS
    return tuple(command for command in commands if command.words[0] == word)
