"""The deletion of a consent: what has changed is looked at again, and what a policy denies is an error."""

from typing import Any
from unittest.mock import create_autospec

import pytest

from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.consents import KubernetesConsents
from pipedrive_operator.adapters.kubernetes.refusal import response_error
from pipedrive_operator.core.resource.consent import Consent, read_consent
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from pipedrive_operator.core.values.times import format_time
from support.builders import NOW

DENIED = "ValidatingAdmissionPolicy 'keep' with binding 'keep' denied request: kept for audits"
BY_WEBHOOK = 'admission webhook "keep.example" denied the request: kept for audits'


def consent() -> Consent:
    """Return a consent as the API server serves it."""
    metadata = {
        "namespace": "crm",
        "name": "acme-x1",
        "uid": "consent-uid",
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": format_time(NOW),
    }
    return read_consent({"metadata": metadata, "spec": {"credential": "acme", "stateDigest": f"sha256:{'d' * 64}"}})


def status(code: int, message: str = "") -> dict[str, Any]:
    """Return the body of a response."""
    return {"kind": "Status", "code": code, "message": message}


@pytest.mark.parametrize("code", [404, 409])
async def test_a_consent_that_is_gone_or_has_changed_is_left_alone(code: int) -> None:
    """Its event arrives later."""
    api = create_autospec(Api, instance=True)
    api.delete.side_effect = response_error(code, status(code))

    await KubernetesConsents(api).delete(consent())

    api.delete.assert_awaited_once()


@pytest.mark.parametrize(("code", "message"), [(422, DENIED), (409, BY_WEBHOOK), (404, BY_WEBHOOK)])
async def test_a_deletion_that_is_denied_is_an_error(code: int, message: str) -> None:
    """It is logged, and repeated after longer and longer pauses."""
    api = create_autospec(Api, instance=True)
    api.delete.side_effect = response_error(code, status(code, message))

    with pytest.raises(ApiServerUnavailable, match=f"refused to delete a consent with HTTP status {code}"):
        await KubernetesConsents(api).delete(consent())
