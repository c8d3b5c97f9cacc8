"""Judges the exchanges of codes: what was lost, what is another company's, and what each kill interrupted. Pure.

A code works once, so none is sent twice. The result of an exchange must become the grant once a copy was acknowledged;
before that, it is lost only inside the window of a refresh. A grant of another company never becomes the grant.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chaos.attribution import attribution, first_copy, intent_of, is_of_candidate, sender
from chaos.evidence import Answer, Death, Evidence, Exchange, Kind, Spending, Trouble, Write
from chaos.judgement import WITHIN, Limits, Loss, accusation, excuse

CONNECTED: Final = "Connected"
UNCERTAIN: Final = "Uncertain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A consent became the grant of a path."""

    path: str
    consent: str
    at: float
    over: float
    """It replaces what was in Vault then: a consent replaces nothing that was written after its code was sent."""


class ExchangeMoment(StrEnum):
    """What a kill interrupted of an exchange, most dangerous first."""

    ANSWERED = "code answered, and not stored"
    SENT = "code sent, and not answered"
    CANDIDATE = "candidate stored, and not promoted"
    INTENT = "intent written, and no code sent"
    PROMOTED = "promoted, and not published"


def sent_twice(exchanges: Iterable[Exchange]) -> list[str]:
    """Return the codes that were sent more than once, whatever Pipedrive answered."""
    return [code for code, times in Counter(one.token for one in exchanges).items() if times > 1]


def beginnings(evidence: Evidence, written: Iterable[Beginning], held: Mapping[str, str]) -> list[Beginning]:
    """Return when each consent became a grant; `written` are those that a person wrote to Vault.

    An acknowledgement may be missing in the audit log of a Vault that was killed, and a candidate may be promoted of
    which nobody knows which exchange brought it. Then the first refresh of the grant, or what Vault holds at the end,
    shows that it was promoted.
    """
    found = {one.consent: one for one in written}
    accepted = [one for one in evidence.exchanges if one.accepted]
    exchanged = {one.consent: one for one in accepted}
    for write, result in attribution(evidence).promoted.items():
        if result.consent in exchanged:
            found.setdefault(result.consent, _begun(exchanged[result.consent], write.at))
    for one in accepted:
        used = (each for each in evidence.refreshes_of.get(one.path, ()) if each.consent == one.consent)
        first = next((each for each in used if not is_of_candidate(each, evidence)), None)
        if first is not None or held.get(one.path) == one.issued:
            found.setdefault(one.consent, _begun(one, first.taken if first is not None else one.taken))
    return sorted(found.values(), key=lambda one: one.at)


def replaced(begun: Sequence[Beginning], evidence: Evidence) -> set[str]:
    """Return the consents that need not be held at the end: they were replaced later, or never became the grant."""
    standing = {
        one.consent
        for one in begun
        if not any(later.path == one.path and later.at > one.at and later.over >= one.at for later in begun)
    }
    known = {one.consent for one in (*evidence.refreshes, *evidence.exchanges)}
    return known - standing


def lost_results(
    evidence: Evidence,
    begun: Sequence[Beginning],
    *,
    deaths: Sequence[Death],
    troubles: Sequence[Trouble],
    limits: Limits,
) -> list[Loss]:
    """Judge each exchange for the right company that Pipedrive accepted, and whose result did not become the grant.

    Apart from the window there is one excuse: a person wrote another grant to Vault meanwhile, and the operator does
    not overwrite it. A result that a newer grant outlived is none.
    """
    found = []
    for exchange in (one for one in _without_grant(evidence, begun) if not _is_outlived(one, evidence, begun)):
        last = _last_result(exchange, evidence)
        why = excuse(last, evidence, deaths=deaths, troubles=troubles, limits=limits)
        why = why or _overwritten(exchange, evidence)
        loss = Loss(
            spending=last,
            sender=sender(last, evidence) or "an unknown sender",
            excused=why is not None,
            why=why or accusation(last, evidence),
            message=exchange.answer.reported,
            truthful=exchange.answer.reported == UNCERTAIN,
        )
        found.append(loss)
    return found


def outlived(evidence: Evidence, begun: Sequence[Beginning]) -> list[Exchange]:
    """Return the exchanges whose result was not lost although it did not become the grant: another grant stayed.

    Pipedrive had decided for the grant in Vault after the result was handed over to escrow; or the grant of a newer
    consent was stored while the exchange went on.
    """
    return [one for one in _without_grant(evidence, begun) if _is_outlived(one, evidence, begun)]


def wrongly_reported(evidence: Evidence, begun: Iterable[Beginning]) -> list[Answer]:
    """Return the consents that were reported as connected and were not, or the other way round.

    A report that was made before the first copy was acknowledged could not know that there would be one, and neither
    could one that was made after a person had written another grant to Vault.
    """
    became = {one.consent for one in begun}
    connected = {one.answer.name: one for one in evidence.exchanges if one.consent in became}
    found = []
    for answer in evidence.answers:
        exchange = connected.get(answer.name)
        copy = first_copy(exchange, evidence) if exchange is not None else None
        is_late = copy is not None and copy > answer.ended
        is_gone = exchange is not None and _overwritten(exchange, evidence) is not None
        if (answer.reported == CONNECTED) != (exchange is not None) and not is_late and not is_gone:
            found.append(answer)
    return found


def of_another_company(evidence: Evidence, begun: Iterable[Beginning]) -> list[Exchange]:
    """Return the exchanges for another company whose result became the grant, or was reported as connected."""
    became = {one.consent for one in begun}
    return [
        one
        for one in evidence.exchanges
        if not one.answer.belongs and (one.consent in became or one.answer.reported == CONNECTED)
    ]


def strange_tokens(
    seen: Collection[tuple[str, str]], companies: Mapping[str, int], expected: Mapping[str, int]
) -> list[str]:
    """Return the paths whose Secret or document held an access token of another company.

    `seen` are paths with the digests of access tokens, `companies` those that Pipedrive issued the tokens to.
    """
    return sorted({path for path, token in seen if companies.get(token) != expected[path]})


def exchange_moment(
    death: Death, deaths: Iterable[Death], evidence: Evidence, targets: Mapping[str, tuple[str, str]]
) -> ExchangeMoment | None:
    """Return what a kill interrupted of an exchange: the most dangerous moment over all grants; None if nothing."""
    earlier = [one.gone_at for one in deaths if one.replica == death.replica and one.gone_at <= death.at]
    began = max(earlier, default=0.0)
    found = [_moment(death, began, path, target, evidence) for path, target in targets.items()]
    return min((one for one in found if one is not None), key=list(ExchangeMoment).index, default=None)


def _moment(
    death: Death, began: float, path: str, target: tuple[str, str], evidence: Evidence
) -> ExchangeMoment | None:
    written = [one for one in evidence.writes_to.get(path, ()) if one.at <= death.at]
    if not written or written[-1].by != death.replica or written[-1].at < began:
        return None
    last = written[-1]
    if last.kind is Kind.CANDIDATE:
        return ExchangeMoment.CANDIDATE
    if last.kind is Kind.PROMOTED:
        published = any(
            one.is_secret and last.at <= one.at <= death.at for one in evidence.publications_of.get(target, ())
        )
        return None if published or death.at - last.at > WITHIN else ExchangeMoment.PROMOTED
    return _moment_of_intent(death, last, evidence) if last.kind is Kind.INTENT and last.for_consent else None


def _moment_of_intent(death: Death, intent: Write, evidence: Evidence) -> ExchangeMoment:
    def sent(spendings: Iterable[Spending]) -> list[Spending]:
        return [one for one in spendings if intent.at <= one.taken <= death.at]

    if sent(evidence.refreshes_of.get(intent.path, ())):
        return ExchangeMoment.CANDIDATE
    exchanged = sent(evidence.exchanges_of.get(intent.path, ()))
    if not exchanged:
        return ExchangeMoment.INTENT
    answered = exchanged[-1].answered
    is_answered = answered is not None and answered <= death.at
    return ExchangeMoment.ANSWERED if is_answered else ExchangeMoment.SENT


def _begun(exchange: Exchange, at: float) -> Beginning:
    return Beginning(path=exchange.path, consent=exchange.consent, at=at, over=exchange.taken)


def _without_grant(evidence: Evidence, begun: Iterable[Beginning]) -> list[Exchange]:
    """Return the exchanges for the right company that Pipedrive accepted, and whose result did not become the grant."""
    became = {one.consent for one in begun}
    accepted = (one for one in evidence.exchanges if one.accepted and one.answer.belongs)
    return [one for one in accepted if one.consent not in became]


def _is_outlived(exchange: Exchange, evidence: Evidence, begun: Iterable[Beginning]) -> bool:
    return _lost_to_living_grant(exchange, evidence) or _overtaken(exchange, evidence, begun)


def _lost_to_living_grant(exchange: Exchange, evidence: Evidence) -> bool:
    """Return whether the last result was handed over to escrow, and the grant in Vault was refreshed after that.

    A refresh that succeeds drops such an escrow.
    """
    escrows = attribution(evidence).handed_over.get(_last_result(exchange, evidence), ())
    refreshed = [
        one.taken
        for one in evidence.refreshes_of.get(exchange.path, ())
        if one.accepted and one.consent != exchange.consent and not is_of_candidate(one, evidence)
    ]
    return any(escrow.at <= taken for escrow in escrows for taken in refreshed)


def _overtaken(exchange: Exchange, evidence: Evidence, begun: Iterable[Beginning]) -> bool:
    """Return whether the grant of a newer exchange was stored between the start of an exchange and its end."""
    newer = {one.consent for one in evidence.exchanges_of.get(exchange.path, ()) if one.taken > exchange.taken}
    began, ended = _start(exchange, evidence), exchange.answer.ended
    return any(one.consent in newer and began <= one.at <= ended for one in begun)


def _start(exchange: Exchange, evidence: Evidence) -> float:
    intent = intent_of(exchange, evidence)
    return intent.at if intent is not None else exchange.taken


def _last_result(exchange: Exchange, evidence: Evidence) -> Spending:
    """Return the last accepted refresh of a candidate, or the exchange itself."""
    refreshed = [
        one for one in evidence.refreshes_of.get(exchange.path, ()) if one.consent == exchange.consent and one.accepted
    ]
    return refreshed[-1] if refreshed else exchange


def _overwritten(exchange: Exchange, evidence: Evidence) -> str | None:
    began = _start(exchange, evidence)
    writes = evidence.writes_to.get(exchange.path, ())
    if any(one.kind is Kind.CONSENT and began <= one.at <= exchange.answer.ended for one in writes):
        return "a person wrote another grant to Vault meanwhile"
    return None
