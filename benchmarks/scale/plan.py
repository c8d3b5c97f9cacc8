"""How much to measure, and how short tokens must live so that few grants refresh as often as many. Pure."""

from dataclasses import dataclass
from typing import Final

PARTS: Final = ("growth", "edits", "failover", "refreshes", "outages")
STEPS: Final = (1_000, 5_000, 10_000, 20_000, 50_000)
MODEL_GRANTS: Final = 10_000
MODEL_LIFETIME: Final = 3600.0
"""The installation that the grants stand for: 10,000 with tokens of an hour."""
MODEL_POLL: Final = 300.0
MODEL_VERIFY: Final = 3600.0
"""The operator's default intervals."""
MODEL_AWAY: Final = 600.0
"""The outage of the model, which is a sixth of its tokens' lifetime."""
SHORTEST_LIFETIME: Final = 60.0
RENEWED_AFTER: Final = 2 / 3
"""The operator refreshes a token when a third of its lifetime is left."""
LEASE: Final = 30.0
"""The operator's default, which is also the time that a killed leader keeps its Lease."""
EDITS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The size of a run; times are in seconds."""

    parts: tuple[str, ...] = PARTS
    credentials: int = 10_000
    grants: int = 1_000
    lifetime: float | None = None
    away: float | None = None

    @property
    def steps(self) -> list[int]:
        """The numbers of credentials at which to measure, up to the wanted one."""
        return [*(step for step in STEPS if step < self.credentials), self.credentials]

    @property
    def needs_tokens(self) -> bool:
        """Whether a part needs credentials with API tokens."""
        return bool({"growth", "edits", "failover"} & set(self.parts))

    @property
    def needs_grants(self) -> bool:
        """Whether a part needs grants."""
        return bool({"refreshes", "outages"} & set(self.parts))

    @property
    def token_lifetime(self) -> float:
        """How long access tokens live: by default as long as lets these grants refresh as often as the model's."""
        return self.lifetime or max(SHORTEST_LIFETIME, MODEL_LIFETIME * self.grants / MODEL_GRANTS)

    @property
    def period(self) -> float:
        """The time between two refreshes of a grant, without the spread."""
        return self.token_lifetime * RENEWED_AFTER

    @property
    def time_away(self) -> float:
        """How long Vault, and later Pipedrive, does not answer: by default in proportion to ten minutes of an hour."""
        return self.away or self.in_proportion(MODEL_AWAY)

    def in_proportion(self, seconds: float) -> float:
        """Shorten a time of the model as much as the lifetime of its tokens."""
        return seconds * self.token_lifetime / MODEL_LIFETIME
