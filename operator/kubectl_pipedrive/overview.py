"""The table of `status`: one line for each credential. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kubectl_pipedrive.credential import Credential, map_at
from kubectl_pipedrive.health import Health, deciding, health, is_ready, next_step
from kubectl_pipedrive.moments import ago, ahead, length
from kubectl_pipedrive.table import Cell, Row, Table
from kubectl_pipedrive.terminal import Style
from pipedrive_operator.core.values.conditions import ConditionType

STYLES = {
    Health.WELL: Style.GOOD,
    Health.WAITING: Style.WAIT,
    Health.SUSPENDED: Style.WAIT,
    Health.ACT: Style.BAD,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns are shown."""

    namespace: bool
    wide: bool

    def heads(self) -> list[str]:
        """Return the heading of each column."""
        return [
            *(["NAMESPACE"] if self.namespace else []),
            *("NAME", "READY", "REASON", "COMPANY", "EXPIRES", "NEXT RENEWAL"),
            *(["USER", "LAST REFRESH", "SECRET", "AGE"] if self.wide else []),
            "NEXT STEP",
        ]

    def row(self, credential: Credential, now: datetime) -> Row:
        """Return the cells of a credential."""
        condition, style = deciding(credential), STYLES[health(credential)]
        return [
            *([Cell(credential.namespace)] if self.namespace else []),
            Cell(credential.name, Style.STRONG),
            Cell(_ready(credential), style),
            Cell(condition.reason if condition is not None else "-", style),
            Cell(credential.company or "-"),
            Cell(ahead(credential.expires_at, now)),
            Cell(_renewal(credential, now)),
            *(_wide(credential, now) if self.wide else []),
            Cell(_next(credential)),
        ]

    def table(self, credentials: Sequence[Credential], now: datetime) -> Table:
        """Return the table."""
        return Table(self.heads(), [self.row(one, now) for one in credentials])


def _ready(credential: Credential) -> str:
    ready = credential.conditions.get(ConditionType.READY)
    return ready.status if ready is not None and (credential.is_current or is_ready(credential)) else "Unknown"


def _renewal(credential: Credential, now: datetime) -> str:
    due = credential.renewal_at
    return "now" if due is not None and due <= now else ahead(due, now)


def _wide(credential: Credential, now: datetime) -> list[Cell]:
    user = map_at(credential.status, "account").get("userId")
    return [
        Cell(str(user) if user is not None else "-"),
        Cell(ago(credential.refreshed_at, now)),
        Cell(credential.secret_name),
        Cell(length(now - credential.created_at) if credential.created_at is not None else "-"),
    ]


def _next(credential: Credential) -> str:
    step = next_step(credential)
    return "-" if step is None else step.text
