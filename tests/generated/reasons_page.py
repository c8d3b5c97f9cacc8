"""Writes the page of reasons from `core/values/conditions.py`."""

from pathlib import Path

from generated.markdown import GENERATED, table
from pipedrive_operator.core.values.conditions import EFFECTS, Effect, Reason

PATH = Path(__file__).parents[2] / "docs" / "reasons.md"

_INTRODUCTION = """\
# Reasons

A `PipedriveCredential` has up to three conditions. Each carries one of the reasons below and a message that names the
next step. Alerts and scripts may match on reasons: they are not renamed.

- **Ready**: the Secret was made for this generation of the resource, and its value was last accepted by Pipedrive, has
  the required scopes and has not expired.
- **Authorized**: Pipedrive accepts what Vault holds. `Unknown` while Vault or Pipedrive cannot be asked.
- **Stalled**: present, and `True`, only while a person must act.

*Ready kept* means that Ready stays `True` until the published value expires or is refused, and then becomes `False`
with this reason; where nothing was published yet, it is `False` from the start.

An Event tells of a condition that flipped, with the reason of that condition. One Event has a reason of its own:
`RolloutDenied`, where a workload of `spec.rollout` was not restarted. It changes no condition; the message of Ready
says what to do.

```console
kubectl get pdc                                            # the reason of Ready
kubectl get pdc acme -o jsonpath='{.status.conditions}'    # all conditions with their messages
```
"""


def text() -> str:
    """Return what the page has to hold."""
    heads = ("Reason", "Conditions", "Meaning", "What to do", "Looked at again")
    rows = (
        (f"`{reason}`", conditions(reason), effect.meaning, effect.remedy, effect.retry.value)
        for reason, effect in EFFECTS.items()
    )
    return f"{GENERATED}\n{_INTRODUCTION}\n{table(heads, rows)}\n"


def conditions(reason: Reason) -> str:
    """Say what a reason does to the conditions."""
    if reason is Reason.PUBLISHED:
        return "Ready=True"
    if reason is Reason.ACCEPTED:
        return "Authorized=True"
    return ", ".join(_conditions_in_trouble(EFFECTS[reason]))


def _conditions_in_trouble(effect: Effect) -> list[str]:
    ready = "Ready=False" if effect.not_ready else "Ready kept"
    authorized = [f"Authorized={effect.authorized}"] if effect.authorized is not None else []
    return [ready, *authorized, *(["Stalled=True"] if effect.stalled else [])]
