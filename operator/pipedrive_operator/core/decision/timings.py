"""How often things are checked again. Values only."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pipedrive_operator.core.publication.rollout import RestartPacing

CONFLICT_RECHECK: Final = timedelta(minutes=1)
"""How often to check whether a foreign Secret is gone. The watch selects on our label, so it does not show this."""

NEXT_PASS: Final = timedelta(seconds=1)
"""How long after a pass that left something to do the next one comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """The intervals of the operator's configuration."""

    poll_interval: timedelta
    """Between two reads of Vault."""
    verify_interval: timedelta
    """Between two verifications of a token."""
    restart_interval: timedelta | None = None
    """The shortest time between two restarts of a workload; None if no workload may be restarted."""

    @property
    def restarts(self) -> RestartPacing | None:
        """How often workloads are restarted; None if none may be."""
        if self.restart_interval is None:
            return None
        return RestartPacing(interval=self.restart_interval, retry=self.poll_interval)
