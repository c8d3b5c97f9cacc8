"""What a reason means and does, in words: the source of `explain` and of docs/reasons.md."""

from pipedrive_operator.core.values.conditions import EFFECTS, Effect, Reason

KEPT = (
    "Ready kept means that Ready stays True until the published value expires or is refused, and then becomes False "
    "with this reason. If nothing has been published yet, Ready is False from the start."
)


def conditions(reason: Reason) -> str:
    """Return how a reason sets the conditions."""
    if reason is Reason.PUBLISHED:
        return "Ready=True"
    if reason is Reason.ACCEPTED:
        return "Authorized=True"
    return ", ".join(_conditions_of_failure(EFFECTS[reason]))


def _conditions_of_failure(effect: Effect) -> list[str]:
    ready = "Ready=False" if effect.not_ready else "Ready kept"
    authorized = [f"Authorized={effect.authorized}"] if effect.authorized is not None else []
    return [ready, *authorized, *(["Stalled=True"] if effect.stalled else [])]
