"""The pictures of the benchmarks: complete, and the same for the same figures on every machine."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import pictures
from benchmarks.report import Memory, Report, Requests, Round
from benchmarks.scale.report import FleetFigures, Growth, Moment, ScaleReport, Start, Starts, Step
from chaos import pictures as chaos_pictures
from chaos.fleet import Figures
from chaos.judgement import Window
from chaos.report import Report as ChaosReport
from testbed.hardware import Machine

MACHINE = Machine(cores=2, processor="Slow", memory_gib=4, python="3.11.1", kernel="6.1", load=0.5)
MEMORY = Memory(resident_mib=90, peak_mib=90)
ROUND = Round(
    floor_seconds=(3.0, 5.0),
    work_seconds=6.0,
    work_cpu_seconds=5.0,
    lone_apply_seconds=8.0,
    apply_seconds=9.0,
    apply_to_last_secret_seconds=12.0,
    singles_seconds=(0.2,),
    requests=Requests(credentials=1000, writes={}, vault={}),
    empty=MEMORY,
    memory=MEMORY,
)
START = Start(seconds=1, mib=80)
STEP = Step(credentials=1000, added=1000, floor_seconds=4, work_seconds=6, cpu_seconds=4, memory=MEMORY)
SCALE = ScaleReport(
    machine=MACHINE,
    growth=Growth(starts=Starts(operator=(START,), libraries=(START,)), empty=MEMORY, steps=(STEP,)),
    fleet=FleetFigures(
        grants=10,
        lifetime=60,
        verifications_per_second=50,
        moments=(
            Moment(at=0, shortest_left=None, waiting=0, refreshes=0, vault_requests=0),
            Moment(at=1, shortest_left=20, waiting=3, refreshes=1, vault_requests=3),
        ),
        outages=(("Vault", 0, 1),),
    ),
)


CALM = Figures(
    grants=3,
    seconds=60,
    refreshes=3,
    expired_seconds=0,
    shortest_left=2,
    accepted_twice=[],
    sent_again=0,
    sent_unseen=0,
    sent_at_once=0,
    calm={},
    troubled={},
    cycles=0,
    calm_cycles=0,
    shortest_calm_cycle=27,
    odd_cycles=0,
    lost=0,
    windows=[],
)


def test_each_benchmark_draws_its_pictures(tmp_path: Path) -> None:
    """Each names the machine that was measured."""
    drawn = [
        *pictures.draw_rounds(Report(machine=MACHINE, workers=20, rounds=(ROUND,)), tmp_path),
        *pictures.draw_scale(SCALE, tmp_path / "below"),
    ]

    assert [path.name for path in drawn] == ["bench-rounds.svg", "scale-growth.svg", "scale-outages.svg"]
    assert all("2 cores of Slow" in path.read_text() for path in drawn)


def test_a_part_that_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    """A run of one part keeps the pictures that another run has drawn."""
    assert pictures.draw_scale(replace(SCALE, growth=None, fleet=None), tmp_path) == []


def test_the_window_is_drawn_for_the_parts_that_have_one(tmp_path: Path) -> None:
    """The legend says how many refreshes each line shows."""
    windows = [Window(since_taken=0.2, since_answered=0.01 * number, at=0) for number in range(1, 4)]

    drawn = chaos_pictures.draw(ChaosReport(fleet=replace(CALM, windows=windows)), MACHINE, tmp_path)

    assert [path.name for path in drawn] == ["chaos-window.svg"]
    assert "the fleet: 3" in drawn[0].read_text()
    assert "under kills" not in drawn[0].read_text()
    assert chaos_pictures.draw(ChaosReport(fleet=CALM), MACHINE, tmp_path) == []


@pytest.mark.parametrize("name", ["scale-growth.svg", "scale-outages.svg"])
def test_the_same_figures_give_the_same_picture(name: str, tmp_path: Path) -> None:
    """Neither a date nor a path of this machine is in it."""
    for folder in ("one", "two"):
        pictures.draw_scale(SCALE, tmp_path / folder)
    first, second = ((tmp_path / folder / name).read_text() for folder in ("one", "two"))

    assert first == second
    assert str(tmp_path) not in first
    assert not re.search(r"dc:date|20\d\d-\d\d-\d\d", first)
