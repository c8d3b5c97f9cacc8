"""The result of one check, for people and for programs."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from pipedrive_operator.core.values.errors import Trouble
from pipedrive_operator.core.values.mask import mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one check."""

    step: str
    ok: bool
    detail: str
    remedy: str = ""
    """What to do next, where `detail` does not say so itself."""

    def as_dict(self) -> dict[str, object]:
        """Return the finding for JSON."""
        return {name: mask(value) if isinstance(value, str) else value for name, value in asdict(self).items()}

    def as_text(self, *, unicode: bool) -> str:
        """Return the finding as a line and, below it, the remedy."""
        passed, failed, arrow = ("✓", "✗", "→") if unicode else ("ok  ", "FAIL", "->")
        line = f"{passed if self.ok else failed} {self.step}: {self.detail}"
        return mask(line if self.ok or not self.remedy else f"{line}\n  {arrow} {self.remedy}")


async def find(step: str, check: Callable[[], Awaitable[object]], success: str) -> Finding:
    """Run a check that raises a trouble if it fails. Its whole message is the detail."""
    try:
        await check()
    except Trouble as trouble:
        return Finding(step=step, ok=False, detail=trouble.message)
    return Finding(step=step, ok=True, detail=success)
