"""What a login makes of Vault's response, for methods at which Vault issues a token and for a token in a file."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipedrive_operator.adapters.vault.auth.login import Login
from pipedrive_operator.adapters.vault.auth.methods import operator_login
from pipedrive_operator.adapters.vault.material import Material
from pipedrive_operator.adapters.vault.request_and_response import VaultRequest, VaultResponse
from pipedrive_operator.config.vault import VaultAuthSettings
from pipedrive_operator.core.values.errors import SourceMissing, Trouble, VaultDenied

TOKEN = {"client_token": "s.new", "lease_duration": 60, "renewable": True}
LAPSED = {"ttl": 0, "expire_time": "2026-11-01T00:00:00Z", "renewable": True, "period": 20}

Prepare = Callable[..., Login]


@dataclass
class FakeVaultServer:
    """Responds by path, and records the paths."""

    responses: dict[str, VaultResponse] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)

    async def send(self, request: VaultRequest) -> VaultResponse:
        """Respond."""
        self.paths.append(request.path.removeprefix("/v1/auth/"))
        return self.responses[self.paths[-1]]


@pytest.fixture
def vault() -> FakeVaultServer:
    """Return a Vault that revokes every token."""
    return FakeVaultServer({"token/revoke-self": VaultResponse(status=204)})


@pytest.fixture
def prepare(vault: FakeVaultServer, tmp_path: Path) -> Prepare:
    """Return a function that prepares a login with a value in a file."""

    def prepared(method: str = "approle", value: str = "1c3e") -> Login:
        path = tmp_path / "value"
        path.write_text(value)
        auth = {"method": method, "roleId": "r", "secretIdFile": path, "tokenFile": path}
        return operator_login("default", VaultAuthSettings.model_validate(auth), vault.send, Material("default", None))

    return prepared


def ok(**body: Any) -> VaultResponse:
    """Return a success."""
    return VaultResponse(status=200, body=body)


async def trouble_of(login: Login) -> Trouble:
    """Return the error of a login."""
    with pytest.raises(Trouble) as caught:
        await login.log_in()
    return caught.value


async def test_a_token_with_few_uses_is_refused_and_revoked(vault: FakeVaultServer, prepare: Prepare) -> None:
    """It would soon be refused like a token without a policy; the setting on the role is the cause."""
    vault.responses["approle/login"] = ok(auth=TOKEN | {"num_uses": 3})

    trouble = await trouble_of(prepare())

    assert isinstance(trouble, VaultDenied)
    assert trouble.message == (
        'Vault connection "default" limits the token of the login by approle at auth/approle with role_id r to 3 '
        "requests, but the operator sends many with the same token: set token_num_uses=0 on the role"
    )
    assert vault.paths[-1] == "token/revoke-self"


async def test_a_provided_token_with_few_uses_is_refused(vault: FakeVaultServer, prepare: Prepare) -> None:
    """It belongs to a person, and is not revoked."""
    vault.responses["token/lookup-self"] = ok(data={"ttl": 60, "num_uses": 2})

    assert "to 2 more requests, but the operator" in (await trouble_of(prepare("token"))).message
    assert vault.paths == ["token/lookup-self"]


@pytest.mark.parametrize("method", ["approle", "token"])
async def test_a_limit_that_python_cannot_print_is_lowered(
    vault: FakeVaultServer, prepare: Prepare, method: str
) -> None:
    """A number of 5,000 digits would end as a defect of the operator."""
    vault.responses["approle/login"] = ok(auth=TOKEN | {"num_uses": 10**5000})
    vault.responses["token/lookup-self"] = ok(data={"ttl": 60, "num_uses": 10**5000})

    assert "to 1000000 " in (await trouble_of(prepare(method))).message


async def test_a_lapsed_renewable_token_is_renewed_at_once(vault: FakeVaultServer, prepare: Prepare) -> None:
    """A standby may look up an old lease; a renewal reaches the active server."""
    vault.responses["token/lookup-self"] = ok(data=LAPSED)
    vault.responses["token/renew-self"] = ok(auth=TOKEN | {"lease_duration": 20})

    issued = await prepare("token", "s.mine").log_in()

    assert (issued.value.reveal(), issued.ttl, issued.ours) == ("s.mine", timedelta(seconds=20), False)


async def test_a_lapsed_token_that_cannot_be_renewed_is_refused(vault: FakeVaultServer, prepare: Prepare) -> None:
    """The renewal says that the token has really expired."""
    vault.responses["token/lookup-self"] = ok(data=LAPSED)
    vault.responses["token/renew-self"] = VaultResponse(status=403, body={"errors": ["bad token"]})

    assert '("bad token"): replace it by a token that has not expired' in (await trouble_of(prepare("token"))).message


async def test_a_token_without_expiry_is_not_renewed(vault: FakeVaultServer, prepare: Prepare) -> None:
    """A root token has no lifetime, and Vault reports that as zero, too."""
    vault.responses["token/lookup-self"] = ok(data={"ttl": 0, "expire_time": None, "renewable": True})

    assert (await prepare("token").log_in()).ttl is None


@pytest.mark.parametrize("method", ["approle", "token"])
async def test_a_missing_namespace_is_named_as_the_cause(vault: FakeVaultServer, prepare: Prepare, method: str) -> None:
    """The credentials of the login are not to blame."""
    missing = VaultResponse(status=404, body={"errors": ["namespace not found"]})
    vault.responses |= {"approle/login": missing, "token/lookup-self": missing}

    trouble = await trouble_of(prepare(method))

    assert isinstance(trouble, SourceMissing)
    assert "does not have the configured namespace: correct vault.connections.default.namespace" in trouble.message


@pytest.mark.parametrize("secret_id", ["hvs.CAES", "s.abc", "b.abc", '{"wrap_info": {"token": "s.abc"}}'])
async def test_a_wrapped_secret_id_is_named_as_the_cause(
    vault: FakeVaultServer, prepare: Prepare, secret_id: str
) -> None:
    """The message does not quote it."""
    vault.responses["approle/login"] = VaultResponse(status=400, body={"errors": ["invalid role or secret ID"]})

    message = (await trouble_of(prepare(value=secret_id))).message

    assert "looks like a wrapping token, so unwrap it with `vault unwrap -field=secret_id`" in message
    assert secret_id not in message


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ({"auth": {"client_token": "", "mfa_requirement": {"mfa_request_id": "1"}}}, "multi-factor authentication"),
        ({"auth": None, "wrap_info": {"token": "s.abc", "ttl": 60}}, "returns a wrapping token in place of a token"),
        ({"auth": {"client_token": ""}}, "refuses the login"),
        ({"auth": {"client_token": "two\nlines"}}, "refuses the login"),
        ({}, "refuses the login"),
    ],
)
async def test_a_success_without_a_usable_token_is_a_refusal(
    vault: FakeVaultServer, prepare: Prepare, body: dict[str, Any], cause: str
) -> None:
    """The message names the feature of Vault that withholds the token."""
    vault.responses["approle/login"] = VaultResponse(status=200, body=body)

    assert cause in (await trouble_of(prepare())).message


@pytest.mark.parametrize("duration", [None, 0, -1, "60", float("nan"), [], {}])
async def test_an_unusable_lifetime_counts_as_none(vault: FakeVaultServer, prepare: Prepare, duration: object) -> None:
    """The token is used until Vault refuses it."""
    vault.responses["approle/login"] = ok(auth=TOKEN | {"lease_duration": duration})

    assert (await prepare().log_in()).ttl is None


async def test_an_extreme_lifetime_overflows_nothing(vault: FakeVaultServer, prepare: Prepare) -> None:
    """A lifetime of more than ten years is shortened."""
    vault.responses["approle/login"] = ok(auth=TOKEN | {"lease_duration": 10**400})

    assert (await prepare().log_in()).ttl == timedelta(days=3650)
