"""The result of the kills: collects the evidence, has it judged, and lists every broken promise."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaos import exchange_judgement, judgement
from chaos.cell import PIPEDRIVE_SECONDS, VAULT_SECONDS, Cell, Grant
from chaos.connecting import Consents
from chaos.disturbances import Weather
from chaos.evidence import (
    Answer,
    Death,
    Evidence,
    Exchange,
    read_companies,
    read_exchanges,
    read_listings,
    read_publications,
    read_reads,
    read_refreshes,
    read_writes,
)
from chaos.exchange_judgement import Beginning, ExchangeMoment
from chaos.grant_history import histories
from chaos.judgement import Complaint, Limits, Loss, Moment, Window
from chaos.person import Person
from chaos.sent_again import SentAgain, SentAtOnce, sent_again, sent_at_once
from chaos.surroundings import Environment
from testbed.pipedrive.tokens import digest_of

ANSWER_TIMEOUTS: Final = 4
"""For how many time-outs an answer is awaited, as docs/refresh-protocol.md says."""
LIMITS: Final = Limits(vault=VAULT_SECONDS, answer=ANSWER_TIMEOUTS * PIPEDRIVE_SECONDS - 0.1)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of a run."""

    seed: int
    seconds: float
    refreshes: int
    deaths: Mapping[Moment, int]
    troubles: Mapping[str, int]
    accepted_twice: Sequence[str]
    sent_again: SentAgain
    """The refresh tokens that were sent although their successor was in Vault or in escrow."""
    sent_at_once: SentAtOnce
    """The refresh tokens that were sent while they were in flight already."""
    losses: Sequence[Loss]
    wrongly_declared_dead: Sequence[Complaint]
    uncertain: int
    """For how many grants a status reported `RefreshUncertain`."""
    windows: Sequence[Window]
    answers: Mapping[str, int]
    """How many consents ended with each reason, after their code was handed to the operator."""
    exchanges: int
    """How many codes Pipedrive accepted."""
    exchanges_hit: Mapping[ExchangeMoment, int]
    """How many kills interrupted an exchange, by what they interrupted."""
    sent_twice: Sequence[str]
    """The codes that were sent more than once."""
    strange: Sequence[str]
    """What got into use although it belongs to another company."""
    lost_results: Sequence[Loss]
    """The exchanges whose result did not become the grant."""
    outlived: Sequence[Exchange]
    """The exchanges whose result did not become the grant because a newer one stayed in Vault."""
    wrongly_reported: Sequence[Answer]
    takeovers: Sequence[float]
    """In seconds, from a kill until the other replica leads; only where no fault affects the election."""
    histories: Mapping[str, Sequence[str]]
    """What happened to each grant, by its path in Vault."""

    @property
    def breaches(self) -> list[str]:
        """Every broken promise, as a sentence."""
        found = [f"refresh token {token} was accepted twice" for token in self.accepted_twice]
        losses = [*self.losses, *self.lost_results]
        found += [f"{one.spending.path}: {one.why}" for one in losses if not one.excused]
        found += [
            f"{one.spending.path}: the status gave another cause: {one.message!r}"
            for one in losses
            if one.excused and not one.truthful
        ]
        found += [f"code {code} was sent twice" for code in self.sent_twice]
        found += [f"another company's grant got into use: {what}" for what in self.strange]
        found += [
            f"{one.path}: consent {one.name} was wrongly reported: {one.reported}" for one in self.wrongly_reported
        ]
        found += [
            f"{one.path}: declared dead although nothing was lost: {one.message!r}"
            for one in self.wrongly_declared_dead
        ]
        found += [
            f"{one.path}: refresh token {one.token} was sent although its successor was stored"
            for one in self.sent_again.known
        ]
        return found + [
            f"{one.path}: refresh token {one.token} was in flight twice at the same time"
            for one in self.sent_at_once.early
        ]


def gather(environment: Environment, cells: Sequence[Cell], consented: Sequence[Answer] = ()) -> Evidence:
    """Collect the evidence from the logs of the other parts; `consented` are the codes that people handed over."""
    calls = environment.pipedrive.ledger().calls
    exchanged = read_exchanges(calls, consented)
    paths = {consent: grant.path for cell in cells for grant in cell.grants.values() for consent in grant.consents}
    paths |= {one.consent: one.path for one in exchanged if one.accepted}
    answers = environment.openbao.kv_answers()
    requests = {replica.name: cell.cluster.requests(replica.name) for cell in cells for replica in cell.replicas}
    return Evidence(
        refreshes=read_refreshes(calls, paths),
        exchanges=exchanged,
        answers=tuple(consented),
        companies=read_companies(calls),
        writes=read_writes(answers),
        reads=read_reads(answers),
        publications=read_publications(requests),
        listings=read_listings(requests),
    )


def conclude(
    weather: Weather, person: Person, consents: Consents, *, seed: int, seconds: float, takeovers: Sequence[float]
) -> Verdict:
    """Judge a run."""
    environment, cells = weather.environment, weather.cells
    evidence = gather(environment, cells, consents.answers)
    grants = [grant for cell in cells for grant in cell.grants.values()]
    documents = {grant.path: environment.openbao.read_secret(grant.path) or {} for grant in grants}
    held = {path: digest_of(values["refresh_token"]) for path, values in documents.items()}
    begun = exchange_judgement.beginnings(evidence, _written(grants), held)
    became = {one.consent for one in begun}
    credentials = {grant.path: grant.credentials[0] for grant in grants}
    complaints = judgement.attributed(person.complaints, evidence, credentials)
    lost = judgement.lost(
        [*evidence.refreshes, *(one for one in evidence.exchanges if one.consent in became)],
        held,
        complaints,
        replaced=exchange_judgement.replaced(begun, evidence),
    )
    deaths = [death for cell in cells for replica in cell.replicas for death in replica.deaths]
    fallen = [judgement.moment(death, evidence, _targets(cells, death)) for death in deaths]
    hit = [exchange_judgement.exchange_moment(death, deaths, evidence, _targets(cells, death)) for death in deaths]
    reasons = [one.reported for one in evidence.answers]
    return Verdict(
        seed=seed,
        seconds=seconds,
        refreshes=sum(one.accepted for one in evidence.refreshes),
        deaths={moment: fallen.count(moment) for moment in Moment},
        troubles={
            what: sum(one.what == what for one in weather.troubles) for what in {one.what for one in weather.troubles}
        },
        accepted_twice=judgement.accepted_twice([*evidence.refreshes, *evidence.exchanges]),
        sent_again=sent_again(evidence),
        sent_at_once=sent_at_once(evidence.refreshes, patience=LIMITS.answer),
        losses=[
            judgement.judge(
                one, evidence, deaths=deaths, troubles=weather.troubles, complaints=complaints, limits=LIMITS
            )
            for one in lost
        ],
        wrongly_declared_dead=judgement.wrongly_declared_dead(evidence.refreshes, complaints),
        uncertain=len(person.uncertain),
        windows=judgement.windows(evidence),
        answers={reason: reasons.count(reason) for reason in sorted(set(reasons))},
        exchanges=sum(one.accepted for one in evidence.exchanges),
        exchanges_hit={moment: hit.count(moment) for moment in ExchangeMoment},
        sent_twice=exchange_judgement.sent_twice(evidence.exchanges),
        strange=_strange(evidence, begun, person, grants, documents),
        lost_results=exchange_judgement.lost_results(
            evidence, begun, deaths=deaths, troubles=weather.troubles, limits=LIMITS
        ),
        outlived=exchange_judgement.outlived(evidence, begun),
        wrongly_reported=exchange_judgement.wrongly_reported(evidence, begun),
        takeovers=takeovers,
        histories=histories(evidence, credentials, deaths=deaths, troubles=weather.troubles),
    )


def _written(grants: Sequence[Grant]) -> Iterator[Beginning]:
    """Yield the consents whose grants a person wrote to Vault, over whatever was there."""
    for grant in grants:
        for consent, at in grant.written.items():
            yield Beginning(path=grant.path, consent=consent, at=at, over=at)


def _strange(
    evidence: Evidence,
    begun: Sequence[Beginning],
    person: Person,
    grants: Sequence[Grant],
    documents: Mapping[str, Mapping[str, str]],
) -> list[str]:
    """Return what got into use although it belongs to another company."""
    companies = {grant.path: grant.company_id for grant in grants}
    tokens = {
        (path, digest_of(values["access_token"])) for path, values in documents.items() if "access_token" in values
    }
    refresh_tokens = [
        path for path, values in documents.items() if values["refresh_token"].partition(":")[0] != str(companies[path])
    ]
    return [
        *(
            f"{one.path}, by consent {one.answer.name}"
            for one in exchange_judgement.of_another_company(evidence, begun)
        ),
        *(
            f"{path}, in its Secret"
            for path in exchange_judgement.strange_tokens(person.seen, evidence.companies, companies)
        ),
        *(f"{path}, in Vault" for path in exchange_judgement.strange_tokens(tokens, evidence.companies, companies)),
        *(f"{path}, in Vault" for path in refresh_tokens),
    ]


def _targets(cells: Sequence[Cell], death: Death) -> Mapping[str, tuple[str, str]]:
    mine = next(cell for cell in cells if any(one.name == death.replica for one in cell.replicas))
    return {grant.path: grant.credentials[0] for grant in mine.grants.values()}
