"""Which accounts are accepted for an API token, and how long a call may take."""

from datetime import timedelta

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.pipedrive import PipedriveApi
from pipedrive_operator.adapters.pipedrive.verification_endpoint import VerificationEndpoint
from pipedrive_operator.config.settings import PipedriveSettings
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import PipedriveUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue


@pytest.mark.parametrize(("domain", "is_allowed"), [("acme", True), ("other", False)])
async def test_an_api_tokens_address_must_be_allowed(
    monkeypatch: pytest.MonkeyPatch, domain: str, *, is_allowed: bool
) -> None:
    """The operator builds it, and a workload sends the token there."""

    async def verify(*_: object, **__: object) -> Account:
        return Account(company_id=12, company_domain=domain, user_id=34)

    monkeypatch.setattr(VerificationEndpoint, "verify", verify)
    api = PipedriveApi(PipedriveSettings(allowed_api_domains=("https://acme.pipedrive.com",)), TurnedClock())

    if is_allowed:
        assert domain == (await api.identify_api_token(SecretValue("a" * 40))).company_domain
    else:
        with pytest.raises(PipedriveUnavailable, match=r"does not match pipedrive\.allowedApiDomains"):
            await api.identify_api_token(SecretValue("a" * 40))


def test_the_time_out_that_the_refresh_protocol_learns_is_that_of_the_setting() -> None:
    """The Lease must outlast a call before anything is sent, so both must mean the same time."""
    api = PipedriveApi(PipedriveSettings(timeout=timedelta(seconds=7)), TurnedClock())

    assert timedelta(seconds=7) == api.call_timeout
