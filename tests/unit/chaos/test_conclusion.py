"""The verdict lists every broken promise of a consent, and the report shows it."""

from dataclasses import replace

import pytest

from chaos.conclusion import Verdict
from chaos.evidence import Answer, Exchange
from chaos.exchange_judgement import ExchangeMoment
from chaos.judgement import Loss, Moment
from chaos.report import MANY_KILLS, Report
from chaos.sent_again import SentAgain, SentAtOnce
from support.chaos_evidence import REFRESH

ANSWER = Answer(path="grant", name="acme/x", code="code", belongs=True, reported="Uncertain", ended=9.0)
EXCHANGE = Exchange(
    path="grant",
    consent="grant-2",
    token="code",
    issued="new",
    accepted=True,
    taken=1.0,
    answered=1.1,
    delivered=True,
    answer=ANSWER,
)
AGAIN = replace(REFRESH, path="grant", accepted=False, issued=None)
LOSS = Loss(spending=EXCHANGE, sender="pair-0", excused=True, why="killed", message="Uncertain", truthful=True)
KEPT = Verdict(
    seed=7,
    seconds=60.0,
    refreshes=10,
    deaths={Moment.IDLE: 3},
    troubles={},
    accepted_twice=[],
    sent_again=SentAgain(known=[], unseen=[]),
    sent_at_once=SentAtOnce(early=[], awaited=[]),
    losses=[],
    wrongly_declared_dead=[],
    uncertain=0,
    windows=[],
    answers={"Connected": 2, "Uncertain": 1},
    exchanges=3,
    exchanges_hit={ExchangeMoment.ANSWERED: 0},
    sent_twice=[],
    strange=[],
    lost_results=[LOSS],
    outlived=[],
    wrongly_reported=[],
    takeovers=[],
    histories={},
)


def test_a_run_without_a_breach_keeps_every_promise() -> None:
    """A result that is lost inside the window, and that the status calls uncertain, is no breach."""
    assert [] == KEPT.breaches
    assert Report(kills=KEPT).kept


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        (replace(KEPT, sent_twice=["code"]), "code code was sent twice"),
        (replace(KEPT, strange=["grant, in Vault"]), "another company's grant got into use: grant, in Vault"),
        (replace(KEPT, wrongly_reported=[ANSWER]), "grant: consent acme/x was wrongly reported: Uncertain"),
        (
            replace(KEPT, sent_again=SentAgain(known=[AGAIN], unseen=[])),
            "grant: refresh token old was sent although its successor was stored",
        ),
        (
            replace(KEPT, sent_at_once=SentAtOnce(early=[AGAIN], awaited=[])),
            "grant: refresh token old was in flight twice",
        ),
        (replace(KEPT, lost_results=[replace(LOSS, excused=False, why="no excuse")]), "grant: no excuse"),
        (replace(KEPT, lost_results=[replace(LOSS, truthful=False)]), "the status gave another cause: 'Uncertain'"),
    ],
)
def test_each_broken_promise_is_a_breach_and_shows_in_the_report(verdict: Verdict, words: str) -> None:
    """The exit code follows the report."""
    (breach,) = verdict.breaches
    assert words in breach
    assert not Report(kills=verdict).kept


def test_an_exception_that_the_protocol_names_is_counted_and_no_breach() -> None:
    """The report shows how often it occurred."""
    counted = replace(
        KEPT,
        sent_again=SentAgain(known=[], unseen=[AGAIN]),
        sent_at_once=SentAtOnce(early=[], awaited=[REFRESH, REFRESH]),
        outlived=[EXCHANGE] * 3,
    )
    report = Report(kills=counted)

    assert [] == counted.breaches
    assert report.kept
    measured = {line.what: line.measured for line in report.lines}
    assert {"1", "2"} == {count for what, count in measured.items() if what.startswith("  sent again")}
    assert "3" == measured["results of an exchange that a newer grant outlived"]


def test_many_kills_must_interrupt_an_exchange() -> None:
    """Otherwise the run shows nothing about consents."""
    missed = replace(KEPT, deaths={Moment.IDLE: MANY_KILLS})
    assert not Report(kills=missed).kept
    assert Report(kills=replace(missed, exchanges_hit={ExchangeMoment.SENT: 1})).kept
