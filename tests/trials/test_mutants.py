"""Tests the simulation itself: it fails for every rule that is switched off."""

import re
from collections.abc import Mapping

import pytest

from simulation.mutants import MUTANTS
from simulation.seeds import first_broken, players

MOST = 400
"""How many seeds a mutant may survive."""


@pytest.fixture(scope="module")
def broken() -> Mapping[str, str | None]:
    """Return what each mutant broke first."""
    with players() as executor:
        playing = {name: executor.submit(first_broken, name, MOST) for name in MUTANTS}
        return {name: future.result() for name, future in playing.items()}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_rule_that_is_switched_off_is_noticed(name: str, broken: Mapping[str, str | None]) -> None:
    """Otherwise the simulation would not test that rule."""
    promise = broken[name]

    assert promise is not None, MUTANTS[name].rule
    assert not re.search("(Attribute|Name|Type)Error", promise.splitlines()[0]), "the mutant does not run"
