"""Writes down what happened to each grant, line by line, to find the cause of a broken promise. Pure.

Judges nothing. A token is shown as the beginning of its digest: those of Pipedrive's simulator, and those of Vault's
audit log, are different digests of the same tokens.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from chaos.attribution import intent_of, is_of_candidate
from chaos.evidence import Death, Evidence, Spending, Trouble, escrow_name

_DIGITS: Final = 8


def histories(
    evidence: Evidence,
    targets: Mapping[str, tuple[str, str]],
    *,
    deaths: Iterable[Death],
    troubles: Iterable[Trouble],
) -> Mapping[str, Sequence[str]]:
    """Return the history of each path; `targets` are the namespaces and names of their Secrets."""
    common = [(one.at, f"{one.replica} was killed") for one in deaths]
    for one in troubles:
        what = f"{one.what} of {one.replica or 'all'}"
        common += [(one.began, f"fault begins: {what}"), (one.ended, f"fault ends: {what}")]
    return {
        path: [f"{_time(at)} {text}" for at, text in sorted([*common, *_about(path, target, evidence)])]
        for path, target in targets.items()
    }


def _about(path: str, target: tuple[str, str], evidence: Evidence) -> Iterator[tuple[float, str]]:
    for write in evidence.writes_to.get(path, ()):
        yield write.at, f"{write.by} wrote {write.kind}{' for a consent' * write.for_consent}, {_holding(write.tokens)}"
    for spending in (*evidence.refreshes_of.get(path, ()), *evidence.exchanges_of.get(path, ())):
        yield from _sent(spending, evidence)
    for one in evidence.publications_of.get(target, ()):
        yield one.at, f"{one.by} wrote {one.resource} {one.namespace}/{one.name}"
    for one in evidence.escrowed.get(escrow_name(path), ()):
        yield one.at, f"{one.by} wrote escrow {one.name}"
    for answer in evidence.answers:
        if answer.path == path:
            yield answer.ended, f"consent {answer.name} was seen to end as {answer.reported}"


def _sent(spending: Spending, evidence: Evidence) -> Iterator[tuple[float, str]]:
    intent = intent_of(spending, evidence)
    what = f"{type(spending).__name__.lower()} {spending.token[:_DIGITS]} of {spending.consent or 'no consent'}"
    by = f"by {intent.by if intent is not None else 'an unknown sender'}"
    yield spending.taken, f"{what} arrived, {by}{', of a candidate' * is_of_candidate(spending, evidence)}"
    if spending.answered is not None:
        issued = f"issued {(spending.issued or '')[:_DIGITS]}" if spending.accepted else "refused"
        yield spending.answered, f"{what} {issued}, {'delivered' if spending.delivered else 'not delivered'}"


def _holding(tokens: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {digest.removeprefix('hmac-sha256:')[:_DIGITS]}" for name, digest in tokens.items())


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]
