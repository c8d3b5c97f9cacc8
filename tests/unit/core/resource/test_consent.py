"""How the PipedriveConsent resource is read and written."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipedrive_operator.core.resource.consent import (
    ConsentCondition,
    ConsentStatus,
    read_consent,
    write_consent_status,
)
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.conditions import ConditionStatus
from pipedrive_operator.core.values.consent_reasons import (
    CONSENT_EFFECTS,
    ConsentConditionType,
    ConsentReason,
)
from pipedrive_operator.core.values.errors import InvalidSpec

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STATE = "crm:acme-x7k2p:" + "A" * 43
CODE = "1.2.3f4a"


def body(**spec: Any) -> dict[str, Any]:
    """Return a consent as the API server serves it."""
    return {
        "metadata": {
            "namespace": "crm",
            "name": "acme-x7k2p",
            "uid": "u1",
            "resourceVersion": "7",
            "generation": 2,
            "creationTimestamp": "2026-03-01T12:00:00Z",
            "ownerReferences": [{"kind": "PipedriveCredential", "name": "acme", "uid": "c1"}],
        },
        "spec": {"credential": "acme", "stateDigest": "sha256:" + "0" * 64, **spec},
    }


def test_a_consent_names_its_credential_and_its_end() -> None:
    """The link expires half an hour after the creation by the API server's clock, unless the spec says otherwise."""
    assert Key(namespace="crm", name="acme") == read_consent(body()).credential
    assert NOW + timedelta(minutes=30) == read_consent(body()).expires_at
    assert NOW + timedelta(hours=2) == read_consent(body(lifetime="2h")).expires_at


def test_the_answer_does_not_print() -> None:
    """The code is a secret until it has expired."""
    consent = read_consent(body(answer={"code": CODE, "state": STATE}))

    assert consent.spec.answer is not None
    assert CODE == consent.spec.answer.code.reveal()
    assert STATE == consent.spec.answer.state.reveal()
    assert CODE not in repr(consent)
    assert STATE not in repr(consent)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"answer": {"code": "a b", "state": STATE}}, "spec.answer.code"),
        ({"answer": {"code": "a\0b", "state": STATE}}, "spec.answer.code"),
        ({"answer": {"code": "x" * 2049, "state": STATE}}, "spec.answer.code"),
        ({"answer": {"code": CODE, "state": "x"}}, "spec.answer.state"),
        ({"stateDigest": "sha256:x"}, "spec.stateDigest"),
        ({"lifetime": "25h"}, "spec.lifetime"),
        ({"lifetime": "59s"}, "spec.lifetime"),
    ],
)
def test_a_wrong_field_is_named_without_its_value(spec: dict[str, Any], field: str) -> None:
    """An older CRD may have accepted it."""
    with pytest.raises(InvalidSpec) as wrong:
        read_consent(body(**spec))

    assert wrong.value.message.startswith(field)
    assert "a b" not in wrong.value.message


def test_a_status_is_read_as_it_was_written() -> None:
    """An absent field is written as null, so that a merge patch removes it."""
    condition = ConsentCondition(
        type=ConsentConditionType.COMPLETE,
        status=ConditionStatus.TRUE,
        reason=ConsentReason.CONNECTED,
        message="connected to acme",
        observed_generation=2,
        last_transition_time=NOW,
    )
    status = ConsentStatus(
        observed_generation=2,
        conditions=(condition,),
        url="https://oauth.pipedrive.com/oauth/authorize?client_id=a",
        expires_at=NOW,
        required_scopes=("base", "deals:full"),
        claimed_codes=("0" * 64,),
        account=Account(company_id=1, company_domain="acme", user_id=2),
    )

    written = write_consent_status(status)

    assert status == read_consent({**body(), "status": written}).status
    assert written["pageUrl"] is None
    assert "2026-03-01T12:00:00Z" == written["expiresAt"]


def test_an_unknown_reason_is_no_error() -> None:
    """A newer operator wrote it, and the next status replaces it."""
    conditions = [{"type": "Complete", "status": "False", "reason": "New", "message": "", "observedGeneration": 1}]

    assert ConsentStatus() == read_consent({**body(), "status": {"conditions": conditions}}).status


def test_every_reason_is_explained() -> None:
    """The documentation and the pages of the front are made from the table."""
    assert set(ConsentReason) == CONSENT_EFFECTS.keys()


def test_every_remedy_says_where_the_link_is() -> None:
    """No resource holds the link: the command that created it has printed it."""
    remedies = [effect.remedy for effect in CONSENT_EFFECTS.values() if "the link" in effect.remedy]

    assert remedies
    assert all("the link from `kubectl pipedrive connect`" in remedy for remedy in remedies)
