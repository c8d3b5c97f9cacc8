"""Generates docs/reasons.md from the reasons of credentials and of consents in `core/values/`."""

from pathlib import Path

from generated.markdown import GENERATED, table
from kubectl_pipedrive.explanation import conditions
from pipedrive_operator.core.values.conditions import EFFECTS, EVENT_TEXTS
from pipedrive_operator.core.values.consent_reasons import CONSENT_EFFECTS

PATH = Path(__file__).parents[2] / "docs" / "reasons.md"

_INTRODUCTION = """\
# Reasons

A `PipedriveCredential` has up to three conditions. Each has one of the reasons below and a message that names the next
step. Reasons are stable: alerts and scripts may match on them.

- **Ready**: the Secret was written for this generation of the resource. Pipedrive accepted its value at the last
  verification, and the value has the required scopes and has not expired.
- **Authorized**: Pipedrive accepts what Vault holds. `Unknown` while Vault or Pipedrive is unavailable.
- **Stalled**: present, with status `True`, only while a person must act.

*Ready kept* means that Ready stays `True` until the published value expires or is refused, and then becomes `False`
with this reason. If nothing has been published yet, Ready is `False` from the start.

The operator records an Event when a condition changes its status, with the reason of that condition.

```console
kubectl get pdc                                            # the reason of Ready
kubectl get pdc acme -o jsonpath='{.status.conditions}'    # all conditions with their messages
```
"""
_EVENTS = """\
## Events with a reason of their own

These Events change no condition.
"""

_CONSENTS = """\
## Reasons of a consent

A `PipedriveConsent` has two conditions, with one of these reasons:

- **Ready**: the link can be used.
- **Complete**: the account is connected. It is `True` only with the reason `Connected`. A consent that has ended
  without a connection has `Ready` set to `False` as well.
"""


def text() -> str:
    """Return the content of the page."""
    heads = ("Reason", "Conditions", "Meaning", "What to do", "Checked again")
    rows = (
        (f"`{reason}`", conditions(reason), effect.meaning, effect.remedy, effect.retry.value)
        for reason, effect in EFFECTS.items()
    )
    events = ((f"`{reason}`", event.meaning, event.remedy) for reason, event in EVENT_TEXTS.items())
    of_events = table(("Reason", "Meaning", "What to do"), events)
    pages = (f"{GENERATED}\n{_INTRODUCTION}", table(heads, rows), f"\n{_EVENTS}", of_events, f"\n{_CONSENTS}")
    return "\n".join((*pages, _table_of_consents(), ""))


def _table_of_consents() -> str:
    rows = ((f"`{reason}`", one.stage.value, one.meaning, one.remedy) for reason, one in CONSENT_EFFECTS.items())
    return table(("Reason", "Who acts next", "Meaning", "What to do"), rows)
