"""Whatever an error says, the API server accepts the status that quotes it, and a terminal shows it as text."""

import base64
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.core.decision.checks import source_is_unreadable
from pipedrive_operator.core.decision.consents import reported
from pipedrive_operator.core.decision.report import announcement, report, report_unreadable
from pipedrive_operator.core.decision.retry import Failure
from pipedrive_operator.core.resource.consent import read_consent
from pipedrive_operator.core.resource.credential import UnreadableCredential, read_credential
from pipedrive_operator.core.resource.status import Status
from pipedrive_operator.core.values.conditions import EFFECTS, Reason
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import Trouble
from pipedrive_operator.core.values.mask import LONGEST_MESSAGE, reportable
from support.builders import NOW, api_token_up_to_date, changed, oauth2_up_to_date, resource
from support.properties import reads_anything

LIMIT: Final = 32_768
"""The longest message of a condition, by Kubernetes' own schema (metav1.Condition), here taken in bytes."""
TOKEN: Final = "5f" * 20
TEXTS = st.one_of(
    st.text(st.characters(), max_size=40),
    # A run of thousands of digits contains the token's digits, and is no token.
    st.text(st.characters(), max_size=3).map(lambda text: text * 1500).filter(lambda text: TOKEN not in text),
    st.sampled_from(["x" * 100_000, "\N{PILE OF POO}" * 40_000, "a\nb\r\n", "\x1b[31mred\x1b[0m", "\ud800", "\u202e"]),
    st.sampled_from(["\x00", "\n", "\u200b", "\ud800"]).map(lambda text: f"Bearer{text}{TOKEN}"),
)
CONSENT: Final = read_consent(
    resource({"credential": "acme", "stateDigest": "sha256:" + "0" * 64}, ownerReferences=[], name="acme-x1")
)


def require_acceptable(message: str) -> None:
    """Check that a message can be stored and printed, and holds no token."""
    assert len(message.encode()) <= LIMIT
    assert message.isprintable()
    assert TOKEN not in message


@reads_anything
@given(text=TEXTS, reason=st.sampled_from(sorted(EFFECTS)), is_oauth2=st.booleans())
def test_a_status_fits_whatever_an_error_says(text: str, reason: Reason, *, is_oauth2: bool) -> None:
    """Each condition and the Event are accepted."""
    kind = type("Reported", (Trouble,), {"reason": reason})
    failure = Failure(trouble=kind(text), subject="source", retry_at=NOW)
    healthy = oauth2_up_to_date() if is_oauth2 else api_token_up_to_date()
    seen = changed(healthy, source_failure=failure)
    decision = source_is_unreadable(seen)
    assert decision is not None

    status = report(seen, decision, handled_request=None)

    for condition in status.conditions:
        require_acceptable(condition.message)
    event = announcement(replace(Status(), conditions=()), status)
    require_acceptable(event.message if event is not None else "")


@reads_anything
@given(text=TEXTS)
def test_a_status_fits_whatever_is_wrong_with_a_spec(text: str) -> None:
    """An older CRD may have accepted fields with any name."""
    read = read_credential(resource({}))
    assert isinstance(read, UnreadableCredential)

    status = report_unreadable(replace(read, problem=text), NOW)

    for condition in status.conditions:
        require_acceptable(condition.message)


@reads_anything
@given(text=TEXTS, reason=st.sampled_from(ConsentReason))
def test_the_status_of_a_consent_fits_whatever_an_error_says(text: str, reason: ConsentReason) -> None:
    """The pages show it."""
    for condition in reported(CONSENT, reason, text, NOW).conditions:
        require_acceptable(condition.message)


@pytest.mark.parametrize("between", ["\x00", "\n", "\u200b", "\x1b"])
def test_no_character_that_is_not_shown_hides_a_token_from_the_mask(between: str) -> None:
    """The message is masked as people would read it."""
    password = base64.b64encode(b"client:secret").decode()

    assert "Basic (hidden)" == reportable(f"Basic{between}{password}")


def test_a_message_is_cut_where_people_see_it() -> None:
    """The rest is not searched for tokens, because a message could have megabytes."""
    assert LONGEST_MESSAGE == len(reportable("x" * 10**6))
    assert reportable("x" * 10**6).endswith("…")
