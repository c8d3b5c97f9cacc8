"""The judge of deaths excuses the loss of a result only while its process could not have copied it yet."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from fakes.pipedrive import Send
from simulation import window
from simulation.faulty_network import Weather
from simulation.loop import Process, run

DELAY = 0.5
DELIVERED = 100.0
ATTEMPT = window.DELAYS_TO_STORE * DELAY
COPY = ATTEMPT + window.DELAYS_TO_KEEP * DELAY
"""In seconds: how long the first copy may take while nothing is disturbed."""


Disturbance = tuple[float, float]
BEFORE: Disturbance = (0.0, DELIVERED - 1)
EVER: Disturbance = (0.0, float("inf"))


def _weather(*disturbances: Disturbance) -> Weather:
    return Weather(chance=random.Random(0), slowest=DELAY, disturbances=[*disturbances])  # noqa: S311  a simulation


def _is_open(
    after: float,
    *,
    delivered: float | None = DELIVERED,
    vault: Sequence[Disturbance] = (),
    cluster: Sequence[Disturbance] = (),
    conflicts: bool = False,
    process: Process | None = None,
) -> bool:
    send = Send("refresh-1", began=DELIVERED - 1, delivered=delivered)
    return window.is_open(
        send,
        process or Process("a1"),
        vault=_weather(*vault),
        cluster=_weather(*cluster),
        conflicts=conflicts,
        now=DELIVERED + after,
    )


def test_the_window_lasts_until_the_first_copy_is_due() -> None:
    """It is open until the answer arrives, and closes when it could have been stored or kept."""
    assert _is_open(1000, delivered=None)
    assert _is_open(COPY)
    assert not _is_open(COPY + 0.1)


@pytest.mark.parametrize(
    ("vault", "cluster"),
    [pytest.param([EVER], [BEFORE], id="only Vault"), pytest.param([BEFORE], [EVER], id="only the cluster")],
)
def test_one_part_that_is_away_is_no_excuse(vault: list[Disturbance], cluster: list[Disturbance]) -> None:
    """The other one can keep the copy."""
    assert not _is_open(COPY + 0.1, vault=vault, cluster=cluster)


def test_without_vault_and_cluster_the_window_stays_open() -> None:
    """When one of them has returned, the next attempt may be a pause away."""
    back = (0.0, DELIVERED + 40)

    assert _is_open(300, vault=[EVER], cluster=[EVER])
    assert _is_open(40 + window.LONGEST_PAUSE + COPY, vault=[back], cluster=[EVER])
    assert not _is_open(40 + window.LONGEST_PAUSE + COPY + 0.1, vault=[back], cluster=[EVER])


def test_an_outage_after_the_first_copy_was_due_is_no_excuse() -> None:
    """The window has closed before, and does not open again."""
    after = [(DELIVERED + COPY + 0.1, float("inf"))]

    assert _is_open(COPY, vault=after, cluster=after)
    assert not _is_open(300, vault=after, cluster=after)


def test_the_window_stays_open_if_every_calm_was_too_short() -> None:
    """The process may have waited in each of them; a longer one was enough for a copy."""
    pause, short = 60.0, window.LONGEST_PAUSE + COPY
    vault, cluster = [(0.0, DELIVERED + pause), (DELIVERED + pause + short, float("inf"))], [EVER]

    assert _is_open(300, vault=vault, cluster=cluster)
    assert not _is_open(300, vault=[vault[0], (vault[1][0] + 0.1, float("inf"))], cluster=cluster)


def test_a_conflict_allows_another_attempt() -> None:
    """If the grant of another lies in Vault, only the cluster can keep the result."""
    assert _is_open(COPY + ATTEMPT, conflicts=True)
    assert not _is_open(COPY + ATTEMPT + 0.1, conflicts=True)
    assert _is_open(300, conflicts=True, cluster=[EVER])


def test_the_time_in_which_the_process_was_frozen_does_not_count() -> None:
    """A freeze excuses what it touched, and nothing after it."""
    process = Process("a1", stops=[(DELIVERED - 50, DELIVERED + 60)])

    assert _is_open(60 + COPY, process=process)
    assert not _is_open(60 + COPY + 0.1, process=process)


def test_a_frozen_process_does_not_run() -> None:
    """The time since it was frozen does not count either."""
    process = Process("a1")

    async def play() -> None:
        await asyncio.sleep(10)
        process.freeze()
        await asyncio.sleep(30)
        assert process.ran(5, 40) == 5

    run(0, play(), on_defect=pytest.fail)


def test_only_the_part_of_a_freeze_before_the_second_moment_counts() -> None:
    """The moment may be in the past, such as the one at which a late write was asked for."""
    assert Process("a1", stops=[(10.0, 30.0)]).ran(5.0, 20.0) == 5
