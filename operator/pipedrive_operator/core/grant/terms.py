"""The terms of a consent, which are stored with its result until that is verified. I/O must not be in it."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipedrive_operator.core.grant.fields import number_field, text_field
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.values.ids import read_id

Exchange = tuple[str | None, int | None]
"""The exchange of a code: the uid of its consent, and the generation of the consent that brought the code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms on which the grant of a consent may replace the grant in Vault.

    They are stored with it, so that any process in any cluster can complete the consent of a process that died.
    """

    consent: str
    """The uid of the consent."""
    consent_generation: int
    """The generation of the consent that brought the code: a consent may be answered more than once."""
    expected: AccountGuard | None
    """The account that the grant must belong to; None if any is accepted."""
    over: str | None
    """The origin of the grant to replace; None if there was none."""

    @property
    def exchange(self) -> Exchange:
        """The exchange whose result this is about."""
        return self.consent, self.consent_generation


def write_terms(terms: Terms) -> dict[str, str | None]:
    """Return terms as fields of a grant; those without a value are None."""
    expected = terms.expected or AccountGuard()
    return {
        "terms_consent": terms.consent,
        "terms_generation": str(terms.consent_generation),
        "terms_over": terms.over,
        "terms_company_id": str(expected.company_id) if expected.company_id is not None else None,
        "terms_company_domain": expected.company_domain,
        "terms_user_id": str(expected.user_id) if expected.user_id is not None else None,
    }


def read_terms(values: Mapping[str, object]) -> Terms | None:
    """Read the terms among the fields of a grant; None if there are none."""
    consent = text_field(values, "terms_consent")
    if consent is None:
        return None
    expected = AccountGuard(
        company_id=read_id(text_field(values, "terms_company_id")),
        company_domain=text_field(values, "terms_company_domain"),
        user_id=read_id(text_field(values, "terms_user_id")),
    )
    return Terms(
        consent=consent,
        consent_generation=number_field(values, "terms_generation") or 0,
        expected=None if expected == AccountGuard() else expected,
        over=text_field(values, "terms_over"),
    )
