"""The figures of `make scale`: sizes in proportion, waits, recoveries, and verdicts that hide no missed goal."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.report import Memory
from benchmarks.scale import evidence
from benchmarks.scale.evidence import Published, Records, Refresh, Renewal
from benchmarks.scale.judgement import Calm, Outage, judge
from benchmarks.scale.logs import vault_spans
from benchmarks.scale.plan import Plan
from benchmarks.scale.report import (
    Edits,
    Failover,
    FleetFigures,
    Growth,
    Return,
    ScaleReport,
    Start,
    Starts,
    Step,
    Takeover,
    Window,
)
from benchmarks.workload import Batch
from testbed.figure import Figure
from testbed.hardware import Machine

MACHINE = Machine(cores=2, processor="Slow", memory_gib=4, python="3.11.1", kernel="6.1", load=0.5)
STEP = Step(
    credentials=10_000,
    added=10_000,
    floor_seconds=20,
    work_seconds=30,
    cpu_seconds=20,
    memory=Memory(resident_mib=150, peak_mib=150),
)
SLOW_STEP = replace(STEP, cpu_seconds=23)
STARTS = Starts(
    operator=(Start(seconds=0.5, mib=60), Start(seconds=0.3, mib=70), Start(seconds=2, mib=58)),
    libraries=(Start(seconds=0.25, mib=50),),
)
GROWTH = Growth(starts=STARTS, empty=Memory(resident_mib=60, peak_mib=60), steps=(STEP,))
STOPPED = Takeover(ended_seconds=1, leads_seconds=1.2, repaired_seconds=1.5)
KILLED = Takeover(ended_seconds=0, leads_seconds=30, repaired_seconds=31)
FAILOVER = Failover(credentials=10_000, stopped=STOPPED, killed=KILLED, start_seconds=2)
STEADY = Window(seconds=240, refreshes=1000, cpu_seconds=9, standby_cpu_seconds=1, longest_wait=3)
VAULT = Return(
    what="Vault",
    away_seconds=60,
    due=250,
    served_seconds=5.9,
    expired=0,
    most_refreshes_per_second=60,
    most_refreshes_at_once=40,
    most_vault_at_once=32,
    most_verifications_per_second=90,
    tries=12,
)
FLEET = FleetFigures(
    grants=1000,
    lifetime=360,
    verifications_per_second=50,
    alone=Window(seconds=100, refreshes=400, cpu_seconds=2, standby_cpu_seconds=0, longest_wait=1),
    steady=STEADY,
    returns=(VAULT,),
    takeover_seconds=31,
)
GOOD = ScaleReport(
    machine=MACHINE,
    growth=GROWTH,
    edits=Edits(credentials=10_000, seconds=(0.05,) * 48 + (0.3,) * 2),
    failover=FAILOVER,
    fleet=FLEET,
)


def renewal(name: str = "a", *, due: float, served: float | None, replaced: float | None = None) -> Renewal:
    """Build a renewal of a value that expires 100 s after it is due."""
    return Renewal(
        name=name,
        seen_at=due - 200,
        due_at=due,
        expires_at=due + 100,
        served_at=served,
        replaced_at=served if replaced is None else replaced,
    )


def missed(report: ScaleReport) -> list[str]:
    """Return the lines with a missed goal."""
    return [line.what.strip().split(":")[0] for line in report.lines if line.met is False]


def line(report: ScaleReport, what: str) -> Figure:
    """Return the line that begins with a text."""
    return next(line for line in report.lines if line.what.strip().startswith(what))


def test_a_thousand_grants_refresh_as_often_as_ten_thousand_with_tokens_of_an_hour() -> None:
    """A tenth of the grants have tokens of a tenth of the lifetime, and everything else is shortened as much."""
    plan = Plan(grants=1000)

    assert plan.token_lifetime == 360
    assert plan.time_away == 60
    assert plan.in_proportion(300) == 30


def test_very_few_grants_have_tokens_of_a_minute() -> None:
    """A shorter life would test nothing but the operator's time-outs."""
    assert Plan(grants=10).token_lifetime == 60


@pytest.mark.parametrize(
    ("credentials", "steps"),
    [
        (300, [300]),
        (1000, [1000]),
        (10_000, [1000, 5000, 10_000]),
        (12_000, [1000, 5000, 10_000, 12_000]),
    ],
)
def test_growth_is_measured_at_round_numbers_and_at_the_last(credentials: int, steps: list[int]) -> None:
    """A run with 12,000 can be compared with one with 10,000."""
    assert Plan(credentials=credentials).steps == steps


def test_a_value_is_served_by_the_first_refresh_after_it_was_published() -> None:
    """The refresh that made the value, and those of other grants, do not count."""
    published = [
        Published(name="a", seen_at=10, due_at=100, expires_at=150),
        Published(name="a", seen_at=110, due_at=200, expires_at=250),
    ]
    refreshes = [
        Refresh(name="a", began=8, ended=9),
        Refresh(name="b", began=50, ended=51),
        Refresh(name="a", began=104, ended=105),
    ]

    first, second = evidence.renewals(published, refreshes)

    assert (first.served_at, first.replaced_at) == (105, 110)
    assert (second.served_at, second.replaced_at) == (None, None)


def test_the_longest_wait_counts_a_renewal_that_still_waits() -> None:
    """Otherwise a renewal that is never served would look like none. Renewals due outside the window do not count."""
    found = [renewal(due=50, served=52), renewal(due=90, served=None), renewal(due=200, served=500)]

    assert evidence.longest_wait(found, 0, 100) == 10
    assert evidence.longest_wait(found, 0, 60) == 2


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([renewal(due=90, served=104), renewal(due=95, served=107), renewal(due=101, served=150)], 7),
        ([renewal(due=90, served=99)], 0),
        ([renewal(due=90, served=104), renewal(due=90, served=None)], None),
    ],
    ids=["the last one that was due decides", "nothing was due", "one is never served"],
)
def test_recovery_ends_with_the_last_renewal_that_was_due(found: Sequence[Renewal], expected: float | None) -> None:
    """Vault is back at 100."""
    assert evidence.recovery(found, 100) == expected


def test_a_value_expires_if_its_successor_is_published_later() -> None:
    """One that is replaced in time, or expires outside the window, does not count."""
    late = renewal(due=0, served=90, replaced=120)
    never = renewal(due=10, served=None)
    good = renewal(due=10, served=20)

    assert evidence.expired([late, never, good], 0, 200) == 2
    assert evidence.expired([late, never, good], 105, 200) == 1


def test_the_worst_token_is_the_one_that_expires_first_of_those_in_force() -> None:
    """A value that was replaced does not count."""
    found = [renewal("a", due=0, served=20), renewal("b", due=50, served=None)]

    assert evidence.shortest_left(found, 10) == 90
    assert evidence.shortest_left(found, 30) == 120
    assert evidence.shortest_left([], 30) is None


def test_requests_at_once_and_in_each_second_are_counted() -> None:
    """A request that begins when another ends does not overlap it."""
    assert evidence.at_once([(0, 10), (5, 15), (10, 20), (12, 13)]) == 3
    assert evidence.per_second([10, 10.9, 12, 13], 10, 13) == [2, 0, 1]


def test_an_outage_is_judged_by_what_was_due_when_it_ended() -> None:
    """Its load is counted from then on."""
    published = [Published(name="a", seen_at=0, due_at=150, expires_at=400)]
    records = Records(
        refreshes=(Refresh(name="a", began=205, ended=206),),
        attempts=((150, 151), (205, 206)),
        verifications=(206.5,),
        failed=(150,),
        vault=((204, 204.5),),
    )
    figures = judge(
        Plan(grants=1000),
        published=published,
        records=records,
        windows=(Calm(began=0, ended=100, cpu_seconds=1, standby_cpu_seconds=0), None),
        outages=[Outage(what="Pipedrive", began=140, seconds=60, back=200, ended=260)],
        killed_at=None,
        ended=260,
        verifications_per_second=50,
    )
    (found,) = figures.returns

    assert (found.due, found.served_seconds, found.expired) == (1, 6, 0)
    assert (found.most_refreshes_at_once, found.most_vault_at_once, found.tries) == (1, 1, 1)
    assert len(figures.moments) == 150
    assert figures.outages == (("Pipedrive", 30, 90),)


def test_requests_to_vault_are_read_from_its_audit_log(tmp_path: Path) -> None:
    """Only those of one user, from arrival to answer. A line that is still being written does not count."""
    log = tmp_path / "audit.log"
    entries = [
        _audited("request", "one", "01"),
        _audited("request", "two", "02"),
        _audited("request", "other", "02", user="token-else"),
        _audited("response", "two", "03"),
        _audited("response", "one", "05"),
    ]
    log.write_text("".join(f"{entry}\n" for entry in entries) + entries[0][:-5])

    spans = list(vault_spans(log, "fleet"))

    assert [(ended - began) for began, ended in spans] == [1, 4]


def _audited(kind: str, number: str, second: str, *, user: str = "token-fleet") -> str:
    """Return a line of OpenBao's audit log."""
    entry = {"type": kind, "time": f"2026-03-04T12:00:{second}Z", "request": {"id": number}}
    return json.dumps({**entry, "auth": {"display_name": user}}, separators=(",", ":"))


def test_a_step_of_growth_publishes_other_documents_than_the_steps_before() -> None:
    """Otherwise the operator could answer from memory."""
    first, second = (Batch(namespace="there", name="some", size=2, first=number) for number in (0, 2))

    assert first.names + second.names == ["some-0", "some-1", "some-2", "some-3"]
    assert {one["spec"]["apiToken"]["path"] for one in first.objects}.isdisjoint(
        one["spec"]["apiToken"]["path"] for one in second.objects
    )


def test_a_good_run_meets_every_goal() -> None:
    """Every goal has a line."""
    assert missed(GOOD) == []
    assert sum(one.met is True for one in GOOD.lines) == 15


@pytest.mark.parametrize(
    ("what", "worse"),
    [
        (
            "start until ready",
            replace(GOOD, growth=replace(GROWTH, starts=replace(STARTS, operator=(Start(seconds=0.6, mib=60),)))),
        ),
        ("resident memory without", replace(GOOD, growth=replace(GROWTH, empty=Memory(resident_mib=66, peak_mib=66)))),
        ("the operator's CPU time for each", replace(GOOD, growth=replace(GROWTH, steps=(SLOW_STEP,)))),
        ("50 Secrets", replace(GOOD, edits=Edits(credentials=10_000, seconds=(0.05,) * 47 + (0.3,) * 3))),
        (
            "another replica repairs",
            replace(GOOD, failover=replace(FAILOVER, stopped=replace(STOPPED, repaired_seconds=2.1))),
        ),
        (
            "after its leader was killed",
            replace(GOOD, failover=replace(FAILOVER, killed=replace(KILLED, repaired_seconds=32.1))),
        ),
        ("share of one core, with", replace(GOOD, fleet=replace(FLEET, steady=replace(STEADY, cpu_seconds=13)))),
        ("longest wait", replace(GOOD, fleet=replace(FLEET, steady=replace(STEADY, longest_wait=31)))),
        ("Vault away", replace(GOOD, fleet=replace(FLEET, returns=(replace(VAULT, served_seconds=6.1),)))),
        ("Vault away", replace(GOOD, fleet=replace(FLEET, returns=(replace(VAULT, served_seconds=None),)))),
        ("values that expired", replace(GOOD, fleet=replace(FLEET, returns=(replace(VAULT, expired=1),)))),
        ("requests to Vault", replace(GOOD, fleet=replace(FLEET, returns=(replace(VAULT, most_vault_at_once=33),)))),
        ("another replica refreshes", replace(GOOD, fleet=replace(FLEET, takeover_seconds=33))),
    ],
)
def test_a_missed_goal_is_reported(what: str, worse: ScaleReport) -> None:
    """No other line is."""
    assert not worse.as_expected
    assert [one.what for one in worse.lines if one.met is False] == [line(worse, what).what]


def test_a_start_is_compared_with_that_of_the_libraries_alone() -> None:
    """Medians, because one start says little."""
    assert line(GOOD, "start until ready").measured == "0.50 s"
    assert line(GOOD, "the operator, relative").measured == "2.00 x the time, 1.20 x the memory"


def test_the_share_of_a_core_has_no_goal_if_the_grants_refresh_less_often_than_the_model() -> None:
    """A fleet that is too small must not look good."""
    small = replace(GOOD, fleet=replace(FLEET, grants=100))

    assert line(small, "share of one core, with").met is None


def test_the_memory_of_the_leader_is_reported() -> None:
    """Grants take more of it than API tokens."""
    fleet = replace(FLEET, memory=Memory(resident_mib=250.4, peak_mib=280.6))

    assert line(replace(GOOD, fleet=fleet), "resident memory of the leader").measured == "250 MiB, 281 MiB"


def test_the_document_is_json() -> None:
    """Programs can read it."""
    assert json.loads(json.dumps(GOOD.document()))["as_expected"] is True
