"""Judges one attack by what the honest namespaces noticed. Pure.

An attack succeeds if the Secret of an honest namespace ever holds an expired token, if a repair takes longer than two
seconds, if the operator needs more memory than the chart allows or loses its Lease, or if a secret value can be read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

LONGEST_REPAIR: Final = 2.0
"""In seconds."""
MEMORY_LIMIT: Final = 512.0
"""In MiB: the limit in the chart's values."""
SHORTEST_SECRET: Final = 12
"""A shorter value could be found by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A token in a Secret, as a watch saw it."""

    seen_at: float
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one attack did to the honest namespaces."""

    attack: str
    seconds: float
    renewals: int
    """How many times tokens of honest namespaces were replaced."""
    expired_seconds: float
    """Summed over the Secrets of the honest namespaces."""
    repairs: Sequence[float]
    """How long each repair of a Secret took, in seconds."""
    peak_mib: float
    kept_lease: bool
    leaks: Sequence[str] = ()
    """Which secret was found where; never the value."""

    @property
    def slowest_repair(self) -> float:
        """The longest repair, in seconds."""
        return max(self.repairs, default=0.0)

    @property
    def failures(self) -> list[str]:
        """What the attack achieved; empty if it harmed nobody."""
        found = {
            f"honest Secrets held expired tokens for {self.expired_seconds:.1f} s": self.expired_seconds > 0,
            "no honest token was renewed, so the attack was too short to show anything": self.renewals == 0,
            "no Secret was repaired, so the attack was too short to show anything": not self.repairs,
            f"a repair took {self.slowest_repair:.1f} s": self.slowest_repair > LONGEST_REPAIR,
            f"the operator needed {self.peak_mib:.0f} MiB": self.peak_mib > MEMORY_LIMIT,
            "the operator lost its Lease": not self.kept_lease,
        }
        return [what for what, is_so in found.items() if is_so] + [f"leaked: {leak}" for leak in self.leaks]


def expired_seconds(values: Sequence[Value], *, began: float, ended: float) -> float:
    """Return for how many seconds of a time a Secret held an expired token; `values` are in chronological order."""
    total = 0.0
    for value, replaced_at in zip(values, [*(one.seen_at for one in values[1:]), ended], strict=True):
        total += max(0.0, min(replaced_at, ended) - max(value.expires_at, began))
    return total


def renewals(values: Sequence[Value], *, began: float, ended: float) -> int:
    """Return how many times a token was replaced during a time."""
    return sum(began <= value.seen_at <= ended for value in values[1:])


def leaks(secrets: Mapping[str, str], readable: Mapping[str, str]) -> list[str]:
    """Return which secrets occur in which texts, by their names. Raises ValueError if a secret is too short."""
    if short := [name for name, value in secrets.items() if len(value) < SHORTEST_SECRET]:
        message = f"too short to search for: {', '.join(short)}"
        raise ValueError(message)
    return [
        f"{name} in {place}" for place, text in readable.items() for name, value in secrets.items() if value in text
    ]
