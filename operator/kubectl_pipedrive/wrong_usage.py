"""Says what is wrong with a command line, and how to write it: the messages of argparse in plain words. Pure."""

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Final

_UNKNOWN: Final = re.compile(r"unrecognized arguments: (.*)", re.DOTALL)
_NO_VALUE: Final = re.compile(r"argument (\S+): expected one argument")
_BAD_CHOICE: Final = re.compile(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", re.DOTALL)
_UNWANTED_VALUE: Final = re.compile(r"argument (\S+): ignored explicit argument '(.*)'", re.DOTALL)


def explained(message: str, name: str, flags: Iterable[str]) -> str:
    """Return a message of argparse about a command, with the options that it has, as a person would write it."""
    if (found := _UNKNOWN.fullmatch(message)) is not None:
        return _unknown(found[1].split(), name, list(flags))
    if (found := _NO_VALUE.fullmatch(message)) is not None:
        return f"{_either(found[1])} needs a value after it"
    if (found := _BAD_CHOICE.fullmatch(message)) is not None:
        return f"{_either(found[1])} cannot be {found[2]}: use one of {found[3].replace(chr(39), '')}"
    if (found := _UNWANTED_VALUE.fullmatch(message)) is not None:
        return f"{_either(found[1])} takes no value: leave out {found[2]}"
    return message


def did_you_mean(given: str, known: Sequence[str]) -> str:
    """Return a question with the closest known word, to append to a message; empty if none is close."""
    import difflib  # noqa: PLC0415  slow to import, and rarely needed

    close = difflib.get_close_matches(given, known, n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""


def quoted(words: Iterable[str]) -> str:
    """Return words as a shell takes them, so that an empty one can be seen."""
    return " ".join(shlex.quote(word) for word in words)


def _unknown(words: Sequence[str], name: str, flags: Sequence[str]) -> str:
    option = next((word for word in words if word.startswith("-")), " ".join(words)).partition("=")[0]
    return f"`{name}` has no option {option}{did_you_mean(option, flags)}"


def _either(flags: str) -> str:
    return flags.replace("/", " or ")
