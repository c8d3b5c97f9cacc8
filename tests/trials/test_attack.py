"""The short form of `make attack`: some attacks, three honest namespaces, and tokens that live for half a minute."""

from pathlib import Path

import pytest

from attack.campaign import ALL, CALM, Plan, run

ATTACKS = ("keys that name secrets", ALL)
PLAN = Plan(attacks=ATTACKS, tenants=3, size=60, seconds=25, expires_in=30, probe_seconds=7.5, rest_seconds=3)


def test_attacks_of_one_namespace_harm_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No token expires, repairs take two seconds at most, memory stays within the chart's limit, and nothing leaks."""
    with capsys.disabled():
        outcomes = list(run(tmp_path, PLAN, say=lambda _: None))

    assert [CALM, *ATTACKS] == [one.attack for one in outcomes]
    assert {} == {one.attack: one.failures for one in outcomes if one.failures}
