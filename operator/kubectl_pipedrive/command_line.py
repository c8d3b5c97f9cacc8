"""The command line: what a command consists of, how its arguments are parsed, and how its help is written.

The help has the sections of kubectl's own, and docs/cli.md is generated from the same description.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from kubectl_pipedrive.errors import UsageError
from kubectl_pipedrive.kubectl import Kubectl
from kubectl_pipedrive.terminal import Terminal
from kubectl_pipedrive.wrong_usage import explained, quoted

if TYPE_CHECKING:
    from kubectl_pipedrive.machine import Machine

PROGRAM: Final = "kubectl pipedrive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of a command."""

    name: str
    """The long name, without dashes."""
    short: str | None = None
    """One letter."""
    value: str | None = None
    """What stands for its value in the help; None if it is a switch."""
    choices: tuple[str, ...] = ()
    default: str | None = None
    repeatable: bool = False
    help: str

    @property
    def flags(self) -> tuple[str, ...]:
        """The spellings, the short one first."""
        return (*((f"-{self.short}",) if self.short else ()), f"--{self.name}")


class Clock(Protocol):
    """The time, and how to let it pass."""

    def now(self) -> datetime:
        """Return the present time, in UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call of the plugin: what a command works with."""

    kubectl: Kubectl
    terminal: Terminal
    clock: Clock
    machine: "Machine | None" = None
    """What stands for the person's machine in tests; None for the real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The parsed arguments of a command."""

    names: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def switch(self, name: str) -> bool:
        """Return whether a switch was given."""
        return bool(self.options.get(name))

    def value(self, name: str) -> str | None:
        """Return the value of an option, or its default."""
        found = self.options.get(name)
        return None if found is None else str(found)

    def values(self, name: str) -> tuple[str, ...]:
        """Return the values of an option that may be repeated."""
        return tuple(self.options.get(name) or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command and its help."""

    words: tuple[str, ...]
    """What is typed, such as ("new", "oauth2")."""
    arguments: str = ""
    """The arguments in the usage line, such as [NAME...]."""
    least: int = 0
    most: int | None = None
    """How many arguments there can be; None means any number."""
    summary: str
    """One line, for the list of commands."""
    description: str
    examples: tuple[tuple[str, str], ...]
    """A comment and a command line each."""
    options: tuple[Option, ...] = ()
    exit_codes: str = "0 done, 2 wrong usage or no access."
    run: Callable[[Invocation, Arguments], int]

    @property
    def name(self) -> str:
        """What is typed."""
        return " ".join(self.words)


CLUSTER_OPTIONS: Final = (
    Option(name="as", value="USER", help="User to impersonate."),
    Option(name="as-group", value="GROUP", repeatable=True, help="Group to impersonate; can be repeated."),
    Option(name="as-uid", value="UID", help="UID to impersonate."),
    Option(name="certificate-authority", value="FILE", help="CA certificate of the API server."),
    Option(name="cluster", value="NAME", help="Cluster of the kubeconfig to use."),
    Option(name="context", value="NAME", help="Context of the kubeconfig to use."),
    Option(name="insecure-skip-tls-verify", help="Do not verify the certificate of the API server."),
    Option(name="kubeconfig", value="FILE", help="Kubeconfig to use."),
    Option(name="request-timeout", value="DURATION", help="How long one request may take, such as 10s."),
    Option(name="server", short="s", value="URL", help="Address of the API server."),
    Option(name="tls-server-name", value="NAME", help="Name to expect in the certificate of the API server."),
    Option(name="user", value="NAME", help="User of the kubeconfig to use."),
)
"""What is passed on to kubectl as it is. `--token` is left out: a token does not belong on a command line."""
NAMESPACE: Final = Option(
    name="namespace", short="n", value="NAMESPACE", help="Namespace; by default that of the context."
)
HELP: Final = Option(name="help", short="h", help="Show this help.")
VERSION: Final = Option(name="version", help="Print the version, in place of a command.")
COMMON: Final = (NAMESPACE, *CLUSTER_OPTIONS, HELP)


class _Parser(argparse.ArgumentParser):
    """Raises the error of a wrong command line instead of exiting."""

    def error(self, message: str) -> NoReturn:
        flags = (flag for flag in self._option_string_actions if flag.startswith("--"))
        raise UsageError(explained(message, self.prog, flags))


def parse(command: Command, rest: Sequence[str]) -> Arguments:
    """Parse what follows the words of a command. Raises UsageError."""
    parser = _Parser(prog=f"{PROGRAM} {command.name}", add_help=False, allow_abbrev=False)
    for option in (*COMMON, *command.options):
        parser.add_argument(*option.flags, dest=option.name, **_behaviour(option))
    parser.add_argument("names", nargs="*")
    found = vars(parser.parse_intermixed_args(list(rest)))
    names = tuple(found.pop("names"))
    if not found["help"]:
        _check_count(command, names)
    return Arguments(names=names, options=found)


def cluster_flags(arguments: Arguments) -> tuple[str, ...]:
    """Return the flags for the cluster and the user that kubectl gets."""
    flags: list[str] = []
    for option in CLUSTER_OPTIONS:
        given = arguments.options.get(option.name)
        if option.value is None:
            flags += [f"--{option.name}"] if given else []
        else:
            values = arguments.values(option.name) if option.repeatable else [given] if given is not None else []
            flags += [f"--{option.name}={value}" for value in values]
    return tuple(flags)


def first_word(arguments: Sequence[str]) -> str:
    """Return the first word of the command, after any flags of kubectl; empty if there is none."""
    positions = _positions_of_words(arguments, ())
    return arguments[positions[0]] if positions else ""


def split(arguments: Sequence[str], commands: Sequence[Command]) -> tuple[Command | None, list[str]]:
    """Return the command that the arguments name, wherever its words stand among the options, and the rest."""
    positions = _positions_of_words(arguments, commands)
    words = [arguments[position] for position in positions]
    for command in sorted(commands, key=lambda one: -len(one.words)):
        count = len(command.words)
        if tuple(words[:count]) == command.words:
            used = set(positions[:count])
            return command, [text for index, text in enumerate(arguments) if index not in used]
    return None, words


def _positions_of_words(arguments: Sequence[str], commands: Sequence[Command]) -> list[int]:
    """Return where the arguments that are neither options nor values of options are."""
    options = (option for command in commands for option in command.options)
    valued = {flag for option in (*options, *COMMON) if option.value is not None for flag in option.flags}
    found, is_value = [], False
    for index, text in enumerate(arguments):
        if not is_value and (not text.startswith("-") or text == "-"):
            found.append(index)
        is_value = not is_value and text in valued
    return found


def _behaviour(option: Option) -> dict[str, Any]:
    if option.value is None:
        return {"action": "store_true"}
    action = "append" if option.repeatable else "store"
    return {"action": action, "default": option.default, "choices": option.choices or None}


def _check_count(command: Command, names: Sequence[str]) -> None:
    if len(names) < command.least:
        message = f"`{PROGRAM} {command.name}` needs {command.arguments}, for example: {command.examples[0][1]}"
        raise UsageError(message)
    if command.most is not None and len(names) > command.most:
        plural = "" if command.most == 1 else "s"
        limit = f"at most {command.most} argument{plural}"
        message = f"`{PROGRAM} {command.name}` takes {limit}, not {len(names)}: {quoted(names)}"
        raise UsageError(message)
