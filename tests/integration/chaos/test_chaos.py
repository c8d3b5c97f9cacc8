"""Real operators, killed and cut off: the part of `make chaos` that fits. docs/chaos.md says which part that is."""

import random

import pytest

from chaos import kills, scenarios
from chaos.stage import Stage

KILLS = 10
KINDS = ("Pipedrive answers slowly",)


def test_operators_killed_at_random_moments_lose_nothing_but_what_was_in_the_window(stage: Stage) -> None:
    """Ten times; whatever was lost is excused by a death, and its status told the truth."""
    seed = random.randrange(1_000_000)  # noqa: S311  no secret
    print(f"seed {seed}")  # noqa: T201  shown if it fails
    plan = kills.Plan(kills=KILLS, seed=seed, pairs=0, lone=2, grants=4, kinds=KINDS, longest_life=2.0)

    with kills.running_cells(stage, plan) as cells:
        verdict = kills.play(stage, cells, plan, tell=print)

    assert [] == verdict.breaches
    assert KILLS == sum(verdict.deaths.values())


@pytest.mark.parametrize(
    "story",
    [
        scenarios.sealed_in_the_middle_of_a_refresh,
        scenarios.one_grant_in_two_namespaces,
    ],
    ids=lambda story: story.__name__,
)
def test_a_story_ends_well(stage: Stage, story: scenarios.Story) -> None:
    """Its docstring says what it is about."""
    story(stage)
