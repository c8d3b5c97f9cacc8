"""The short part of `make chaos`: real operators, killed and cut off."""

import random

import pytest

from chaos import kills, scenarios
from chaos.story import Story
from chaos.surroundings import Environment

KILLS = 10
KINDS = ("Pipedrive answers slowly",)


def test_operators_killed_at_random_moments_lose_grants_only_inside_the_window(environment: Environment) -> None:
    """Kill ten times while people connect accounts.

    Every loss is excused by a kill inside the window, and the status names the cause.
    """
    seed = random.randrange(1_000_000)  # noqa: S311  no secret
    print(f"seed {seed}")  # noqa: T201  shown if it fails
    plan = kills.Plan(kills=KILLS, seed=seed, pairs=0, lone=2, grants=4, kinds=KINDS, longest_life=2.0)

    with kills.running_cells(environment, plan) as cells:
        verdict = kills.play(environment, cells, plan, say=print)

    assert [] == verdict.breaches
    assert KILLS == sum(verdict.deaths.values())
    assert verdict.answers["Connected"] > 0


@pytest.mark.parametrize(
    "story",
    [
        scenarios.sealed_in_the_middle_of_a_refresh,
        scenarios.one_grant_in_two_namespaces,
    ],
    ids=lambda story: story.__name__,
)
def test_a_scenario_meets_its_expectations(environment: Environment, story: Story) -> None:
    """The docstring of each scenario says what is expected."""
    story(environment)
