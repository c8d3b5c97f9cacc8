"""Completes command lines. kubectl runs `kubectl_complete-pipedrive` with the words, the last one unfinished.

The output is that of cobra, which kubectl is built on: one candidate a line, then a directive for the shell
(https://github.com/spf13/cobra/blob/main/site/content/completions/_index.md).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from kubectl_pipedrive.command_line import COMMON, VERSION, Command, Option, cluster_flags, parse, split
from kubectl_pipedrive.errors import KubectlFailed, KubectlMissing, UsageError
from kubectl_pipedrive.kubectl import CREDENTIALS, Kubectl, Runner
from pipedrive_operator.core.values.conditions import EventReason, Reason

ONLY_THESE: Final = 4
"""cobra's directive not to complete names of files."""
FILES: Final = 0
"""cobra's default: complete names of files when there are no candidates."""
_FILE_VALUES: Final = frozenset({"FILE"})


def complete(
    words: Sequence[str], commands: Sequence[Command], runner: Runner, first_words: Sequence[str]
) -> tuple[list[str], int]:
    """Return the candidates for the last word, and the directive. `commands` has those of the first word, if any."""
    *before, unfinished = words or [""]
    command, rest = split(before, commands)
    option = _option_before(before, command)
    kubectl = _kubectl(command, rest, runner)
    if option is not None:
        candidates = _values(option, kubectl)
        directive = FILES if option.value in _FILE_VALUES else ONLY_THESE
    elif unfinished.startswith("-"):
        candidates, directive = _flags(command, rest), ONLY_THESE
    elif command is None:
        candidates = _next_words(rest, commands) if rest else list(first_words)
        directive = ONLY_THESE
    else:
        candidates = _arguments(command, rest, kubectl)
        directive = FILES if command.arguments in _FILE_VALUES else ONLY_THESE
    return [one for one in candidates if one.startswith(unfinished)], directive


def _option_before(before: Sequence[str], command: Command | None) -> Option | None:
    """Return the option whose value is being typed; None if it is another word."""
    options = (*COMMON, *(command.options if command is not None else ()))
    last = before[-1] if before else ""
    return next((one for one in options if one.value is not None and last in one.flags), None)


def _kubectl(command: Command | None, rest: Sequence[str], runner: Runner) -> Kubectl:
    """Return kubectl for the cluster and the namespace that are typed already, if they can be parsed."""
    try:
        arguments = parse(command, rest) if command is not None else None
    except UsageError:
        arguments = None
    if arguments is None:
        return Kubectl(runner)
    return Kubectl(runner, cluster_flags(arguments), arguments.value("namespace"))


def _values(option: Option, kubectl: Kubectl) -> list[str]:
    readers: Mapping[str, Callable[[], str]] = {
        "namespace": lambda: kubectl.run("get", "namespaces", "--output=name"),
        "context": lambda: kubectl.run("config", "get-contexts", "--output=name"),
    }
    return _lines(readers[option.name]) if option.name in readers else list(option.choices)


def _flags(command: Command | None, rest: Sequence[str]) -> list[str]:
    own = command.options if command is not None else () if rest else (VERSION,)
    options = (*own, *COMMON)
    return [f"--{option.name}" for option in options]


def _next_words(typed: Sequence[str], commands: Sequence[Command]) -> list[str]:
    """Return the words that lead to a command; `new` has two."""
    count = len(typed)
    longer = (one for one in commands if one.words[:count] == tuple(typed) and len(one.words) > count)
    return list(dict.fromkeys(one.words[count] for one in longer))


def _arguments(command: Command, rest: Sequence[str], kubectl: Kubectl) -> list[str]:
    if command.arguments == "[REASON]":
        return [*Reason, *EventReason]
    takes_names = command.arguments in {"[NAME...]", "[NAME]"} or command.words == ("connect",)
    names = _lines(lambda: kubectl.run("get", CREDENTIALS, "--output=name")) if takes_names else []
    return [name for name in names if name not in rest]


def _lines(read: Callable[[], str]) -> list[str]:
    """Return the names that kubectl prints, without their kind; none after an error."""
    try:
        return [line.rpartition("/")[2] for line in read().splitlines()]
    except (KubectlFailed, KubectlMissing):
        return []
