"""`explain`: what a reason means, without asking the cluster."""

from collections.abc import Iterator
from typing import Final

from kubectl_pipedrive.command_line import Arguments, Command, Invocation
from kubectl_pipedrive.errors import UsageError
from kubectl_pipedrive.explanation import KEPT, conditions
from kubectl_pipedrive.table import Cell, Table
from kubectl_pipedrive.terminal import Style, Terminal
from kubectl_pipedrive.wrong_usage import quoted
from pipedrive_operator.core.values.conditions import EFFECTS, EVENT_TEXTS, EventReason, Reason

_LABEL: Final = 15


def explain(invocation: Invocation, arguments: Arguments) -> int:
    """Print what a reason means; without one, list all."""
    lines = _explained(arguments.names[0], invocation.terminal) if arguments.names else _all(invocation.terminal)
    for line in lines:
        invocation.terminal.line(line)
    return 0


def _all(terminal: Terminal) -> list[str]:
    rows = [[Cell(reason, Style.STRONG), Cell(effect.meaning)] for reason, effect in EFFECTS.items()]
    rows += [[Cell(reason, Style.STRONG), Cell(event.meaning)] for reason, event in EVENT_TEXTS.items()]
    return Table(("REASON", "MEANING"), rows).lines(terminal)


def _explained(given: str, terminal: Terminal) -> Iterator[str]:
    reason = _reason(given)
    yield terminal.paint(reason, Style.STRONG)
    yield ""
    if isinstance(reason, EventReason):
        yield _field("Meaning", EVENT_TEXTS[reason].meaning, terminal)
        yield _field("What to do", EVENT_TEXTS[reason].remedy, terminal)
        yield _field("Conditions", "none: it is the reason of an Event alone", terminal)
        return
    effect = EFFECTS[reason]
    yield _field("Meaning", effect.meaning, terminal)
    yield _field("What to do", effect.remedy, terminal)
    yield _field("Conditions", conditions(reason), terminal)
    yield _field("Checked again", effect.retry.value, terminal)
    if "Ready kept" in conditions(reason):
        yield ""
        yield terminal.wrap(KEPT, "")


def _field(label: str, text: str, terminal: Terminal) -> str:
    return f"{f'{label}:':<{_LABEL}}{terminal.wrap(text, ' ' * _LABEL)}"


def _reason(given: str) -> Reason | EventReason:
    """Return a reason, whatever the case of its letters. Raises UsageError."""
    known: dict[str, Reason | EventReason] = {one.lower(): one for one in Reason} | {
        one.lower(): one for one in EventReason
    }
    if given.lower() in known:
        return known[given.lower()]
    import difflib  # noqa: PLC0415  slow to import, and rarely needed

    close = difflib.get_close_matches(given.lower(), known, n=1, cutoff=0.75)
    hint = f"did you mean {known[close[0]]}?" if close else "`kubectl pipedrive explain` lists them"
    message = f"there is no reason {quoted([given])}; {hint}"
    raise UsageError(message)


_COMMAND: Final = Command(
    words=("explain",),
    arguments="[REASON]",
    most=1,
    summary="Explain a reason: what it means, what to do, and when it is checked again.",
    description=(
        "A reason is the word in the column REASON of `status`, in a condition, or in an Event. Without a "
        "reason, the command lists all of them. It does not contact the cluster. docs/reasons.md has the same text."
    ),
    examples=(
        ("One reason", "kubectl pipedrive explain ConsentRequired"),
        ("All reasons", "kubectl pipedrive explain"),
    ),
    exit_codes="0 explained, 2 there is no such reason.",
    run=explain,
)
COMMANDS: Final = (_COMMAND,)
