"""Tokens of tenants: never for the API server itself, whatever the settings say."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from fakes.api_server import FakeApiServer, say
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.login_material import KubernetesLoginMaterial
from pipedrive_operator.adapters.kubernetes.session import audiences_of
from pipedrive_operator.core.grant.document import TenantIdentity
from pipedrive_operator.core.values.errors import VaultDenied

TENANT = TenantIdentity(namespace="crm", service_account="app", role="crm")
OWN = {"iss": "https://oidc.example.com/id/1", "aud": ["https://api.example.com"]}


def jwt(claims: object) -> str:
    """Build a token with these claims."""
    return f"e30.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"


@pytest.mark.parametrize("audience", [OWN["iss"], "https://api.example.com"])
async def test_no_token_is_requested_for_the_api_server(server: FakeApiServer, audience: str) -> None:
    """Its audience is that of the operator's own token; without `--api-audiences` it is the issuer."""
    async with await Api.connect(server.settings({"token": jwt(OWN)})) as api:
        with pytest.raises(VaultDenied, match="is the API server's own"):
            await KubernetesLoginMaterial(api, "operators").service_account_token(TENANT, audience)

    assert [] == server.requests


@pytest.mark.parametrize("own", [jwt(OWN), "opaque", "a.b.c", ""])
async def test_a_token_for_another_audience_is_requested(server: FakeApiServer, own: str) -> None:
    """The operator's own token need not be a JWT."""
    server.answer = say(201, {"status": {"token": "theirs"}})

    async with await Api.connect(server.settings({"token": own})) as api:
        token = await KubernetesLoginMaterial(api, "operators").service_account_token(TENANT, "vault")

    assert "theirs" == token.reveal()


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (OWN, ("https://api.example.com", "https://oidc.example.com/id/1")),
        ({"aud": "one"}, ("one", "")),
        ({}, ("",)),
        ([], ()),
        ("text", ()),
        ({"aud": 5}, ()),
    ],
)
def test_the_audiences_of_a_token_are_read(claims: Any, expected: tuple[str, ...]) -> None:
    """Whatever form they have."""
    assert expected == audiences_of(f"Bearer {jwt(claims)}")
