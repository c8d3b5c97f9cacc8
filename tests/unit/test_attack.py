"""How an attack is judged: by what the honest namespaces noticed."""

from dataclasses import replace

import pytest

from attack import verdict
from attack.verdict import Outcome, Value

HARMLESS = Outcome(
    attack="none", seconds=60, renewals=3, expired_seconds=0, repairs=[0.2, 0.4], peak_mib=90, kept_lease=True
)
HOUR = [Value(seen_at=0, expires_at=100), Value(seen_at=70, expires_at=170), Value(seen_at=180, expires_at=280)]


def test_an_attack_that_nobody_notices_has_no_failures() -> None:
    """The repairs took less than two seconds."""
    assert [] == HARMLESS.failures


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expired_seconds": 0.5}, "expired tokens for 0.5 s"),
        ({"repairs": [0.1, 2.5]}, "a repair took 2.5 s"),
        ({"peak_mib": 513}, "needed 513 MiB"),
        ({"kept_lease": False}, "lost its Lease"),
        ({"leaks": ["API token of honest-01 in /metrics"]}, "leaked: API token of honest-01 in /metrics"),
        ({"renewals": 0}, "too short"),
        ({"repairs": []}, "too short"),
    ],
)
def test_each_promise_is_judged(change: dict[str, object], said: str) -> None:
    """A time in which nothing was due proves nothing."""
    [failure] = replace(HARMLESS, **change).failures  # type: ignore[arg-type]

    assert said in failure


@pytest.mark.parametrize(
    ("began", "ended", "expected"),
    [(0, 300, 10 + 20), (0, 170, 0), (175, 180, 5), (285, 290, 5), (10, 20, 0)],
    ids=["all of it", "before the delay", "within it", "after the last one", "a calm time"],
)
def test_expired_seconds_are_counted_until_the_replacement_is_seen(began: float, ended: float, expected: float) -> None:
    """The second token was replaced ten seconds late, and the last one never."""
    assert expected == verdict.expired_seconds(HOUR, began=began, ended=ended)


def test_renewals_are_counted_within_the_time() -> None:
    """The first token is none."""
    assert [2, 1, 0] == [verdict.renewals(HOUR, began=began, ended=200) for began in (0, 100, 190)]


def test_a_leak_names_the_secret_and_the_place_and_not_the_value() -> None:
    """The report can be published."""
    secrets = {"client secret": "hush-hush-hush", "API token": "0123456789abcdef"}

    found = verdict.leaks(secrets, {"the log": "client hush-hush-hush refused", "/metrics": "nothing"})

    assert ["client secret in the log"] == found


def test_a_secret_that_could_be_found_by_chance_is_refused() -> None:
    """An empty one would be found everywhere."""
    with pytest.raises(ValueError, match="client secret"):
        verdict.leaks({"client secret": ""}, {"the log": ""})
