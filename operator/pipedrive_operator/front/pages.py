"""Renders the pages from their templates. What a page says is in `templates/`; which one is shown is decided elsewhere.

Everything that a template prints is escaped, and a name that it does not know is an error.
"""

from datetime import datetime
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipedrive_operator.core.resource.consent import Consent
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.values.consent_reasons import (
    CONSENT_EFFECTS,
    OPEN_AGAIN,
    ConsentConditionType,
    ConsentReason,
)

STYLE: Final = "style.css"
_TRY_AGAIN: Final = "select Try again"
"""What a visitor does in place of opening the link again."""


class Pages:
    """Renders the pages of one front."""

    def __init__(self, *, prefix: str, cluster: str | None) -> None:
        """Load the templates; `prefix` is the path before all paths, and `cluster` the cluster's name for people."""
        self._environment = Environment(
            loader=PackageLoader("pipedrive_operator.front"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"company": _company, "time": _time}
        self._common = {"prefix": prefix, "cluster": cluster}

    def style(self) -> str:
        """Return the style sheet."""
        return self._environment.get_template(STYLE).render()

    def render(self, page: str, **details: object) -> str:
        """Return a page as HTML. Raises a jinja2 error if the template needs a detail that is not given."""
        return self._environment.get_template(f"{page}.html").render(self._common | details)

    def about(self, page: str, consent: Consent) -> str:
        """Return a page about a consent."""
        return self.render(page, consent=consent, status=consent.status, **_outcome(consent))


def _outcome(consent: Consent) -> dict[str, Any]:
    complete = consent.status.condition(ConsentConditionType.COMPLETE)
    reason = ConsentReason.PENDING if complete is None else complete.reason
    return {
        "effect": CONSENT_EFFECTS[reason],
        "reason": reason,
        "remedy": _for_visitors(CONSENT_EFFECTS[reason].remedy),
        "message": "" if complete is None else _for_visitors(complete.message),
    }


def _for_visitors(text: str) -> str:
    """Replace the advice to open the link, which is for users of the cluster, by that to use the button of the page."""
    return text.replace(OPEN_AGAIN, _TRY_AGAIN)


def _company(guard: AccountGuard) -> str:
    """Name the company of a guard as people know it."""
    if guard.company_domain is not None:
        return f"{guard.company_domain}.pipedrive.com"
    return f"the company with the id {guard.company_id}" if guard.company_id is not None else "any company"


def _time(value: datetime) -> str:
    return f"{value:%d %B %Y, %H:%M} UTC"
