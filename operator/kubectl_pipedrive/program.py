"""The program: finds the command, runs it, and turns what went wrong into a message and an exit code."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from kubectl_pipedrive.advice import NO_KUBECTL, advice, without_log_lines
from kubectl_pipedrive.command_line import PROGRAM, VERSION, Clock, Invocation, cluster_flags, first_word, parse, split
from kubectl_pipedrive.completion import complete
from kubectl_pipedrive.errors import ConnectFailed, KubectlFailed, KubectlMissing, UsageError
from kubectl_pipedrive.help_text import command_help, root_help
from kubectl_pipedrive.kubectl import Kubectl, Runner, Subprocesses
from kubectl_pipedrive.registry import commands_for, every_command, first_words, groups
from kubectl_pipedrive.terminal import Terminal, terminal
from kubectl_pipedrive.wrong_usage import did_you_mean, quoted

if TYPE_CHECKING:
    from kubectl_pipedrive.machine import Machine

COMPLETE: Final = "__complete"
"""What `kubectl_complete-pipedrive` calls, as in programs that are built on cobra."""
NO_ACCESS: Final = 2
INTERRUPTED: Final = 130
_HELP: Final = frozenset({"-h", "--help", "help"})


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """Return the present time, in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def main(*first: str) -> None:
    """Run the command that the arguments name, after the `first` ones, and exit with its code."""
    screen = terminal()
    for stop in (signal.SIGTERM, signal.SIGHUP):  # a command tidies up as it does after Ctrl-C
        signal.signal(stop, signal.default_int_handler)
    try:
        code = run([*first, *sys.argv[1:]], screen, runner=Subprocesses(), clock=SystemClock())
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # `| head` has read enough; Python would complain once more while it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    raise SystemExit(code)


def complete_main() -> None:
    """Complete a command line: the entry point of `kubectl_complete-pipedrive`."""
    main(COMPLETE)


def run(
    arguments: Sequence[str], screen: Terminal, *, runner: Runner, clock: Clock, machine: "Machine | None" = None
) -> int:
    """Run a command, and return the exit code."""
    try:
        return _dispatch(arguments, Invocation(kubectl=Kubectl(runner), terminal=screen, clock=clock, machine=machine))
    except UsageError as error:
        screen.error(f"error: {error}\nSee `{_named(arguments)} --help`.")
    except KubectlMissing:
        screen.error(NO_KUBECTL)
    except ConnectFailed as failure:
        screen.error(f"error: {failure}")
        return 1
    except KubectlFailed as failure:
        screen.error(without_log_lines(str(failure)))
        if (text := advice(str(failure))) is not None:
            screen.error(f"\n{text}")
    return NO_ACCESS


def _dispatch(arguments: Sequence[str], invocation: Invocation) -> int:
    screen = invocation.terminal
    if arguments[:1] == [COMPLETE]:
        return _complete(arguments[1:], invocation)
    if _asks_for_version(arguments):
        arguments = [VERSION.name]
    command, rest = split(arguments, commands_for(arguments))
    if command is None:
        return _without_command(rest, arguments, screen)
    parsed = parse(command, rest)
    if parsed.switch("help"):
        screen.line(command_help(command))
        return 0
    kubectl = replace(invocation.kubectl, flags=cluster_flags(parsed), namespace=parsed.value("namespace"))
    return command.run(replace(invocation, kubectl=kubectl), parsed)


def _asks_for_version(arguments: Sequence[str]) -> bool:
    """Return whether `--version` stands in place of a command, where the flags of kubectl may stand too."""
    return not first_word(arguments) and set(VERSION.flags) <= set(arguments)


def _complete(words: Sequence[str], invocation: Invocation) -> int:
    commands = commands_for(words[:-1]) if first_word(words[:-1]) else ()
    candidates, directive = complete(words, commands, invocation.kubectl.runner, first_words())
    for line in (*candidates, f":{directive}"):
        invocation.terminal.line(line)
    return 0


def _without_command(words: Sequence[str], arguments: Sequence[str], screen: Terminal) -> int:
    """Print the list of commands, which is what someone without a command needs."""
    unknown = [word for word in words if word not in _HELP]
    wanted = [one for one in every_command() if one.words[: len(unknown)] == tuple(unknown)]
    if unknown and wanted and _HELP & set(arguments):
        screen.line("\n\n".join(command_help(one) for one in wanted))
        return 0
    if unknown:
        raise UsageError(_unknown_command(unknown, is_incomplete=bool(wanted)))
    if arguments and not _HELP & set(arguments):
        message = f"`{PROGRAM} {quoted(arguments)}` has no command; write one, such as `{PROGRAM} status`"
        raise UsageError(message)
    screen.line(root_help(groups()))
    return 0


def _unknown_command(words: Sequence[str], *, is_incomplete: bool) -> str:
    """Return what to write in place of words that are no command, or only the beginning of one."""
    longer = " or ".join(f"`{PROGRAM} {one.name}`" for one in every_command() if one.words[0] == words[0])
    if longer:
        return f"write {longer}" if is_incomplete else f"there is no command {quoted(words[:2])}; write {longer}"
    return f"there is no command {quoted(words[:1])}{did_you_mean(words[0], first_words())}"


def _named(arguments: Sequence[str]) -> str:
    """Return the command that the arguments name, whose help has the answer; the program itself if there is none."""
    command, _ = split(arguments, commands_for(arguments))
    return PROGRAM if command is None else f"{PROGRAM} {command.name}"
