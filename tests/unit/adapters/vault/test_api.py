"""What a server tells that a real one seldom is brought to tell."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import HttpUrl

from pipedrive_operator.adapters.vault.api import VaultServer
from pipedrive_operator.config.vault import TenantAuthSettings, VaultAuthSettings, VaultConnectionSettings
from pipedrive_operator.core.grant.document import OPERATOR, TenantIdentity, VaultLocation
from pipedrive_operator.core.values.errors import VaultDenied, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from support.turned_clock import TurnedClock

ACME = VaultLocation(connection="default", mount="secret", path="pipedrive/crm/acme")
CREATED = "2026-03-04T12:00:00Z"
LIVING_TOKEN = {"data": {"ttl": 0, "expire_time": None}}

Start = Callable[..., Awaitable[TestServer]]


class Tokens:
    """Gives tokens of every ServiceAccount."""

    async def secret(self, name: str, key: str) -> SecretValue | None:
        """Have no Secret."""

    async def service_account_token(self, identity: TenantIdentity, audience: str) -> SecretValue:
        """Return one."""
        return SecretValue(f"{identity} {audience}")


@pytest.fixture
def answers() -> dict[str, dict[str, Any]]:
    """Return what the server answers, by path; the test fills it in."""
    return {"/v1/auth/token/lookup-self": LIVING_TOKEN}


@pytest.fixture
async def server(
    start: Start, answers: dict[str, dict[str, Any]], clock: TurnedClock, tmp_path: Path
) -> AsyncIterator[VaultServer]:
    """Speak to a server that answers so."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(answers[request.path])

    token_file = tmp_path / "token"
    token_file.write_text("s.token")
    auth = VaultAuthSettings.model_validate({"method": "token", "token_file": token_file})
    address = HttpUrl(str((await start(answer)).make_url("/")))
    server = VaultServer("default", VaultConnectionSettings(address=address, auth=auth), clock)
    yield server
    await server.aclose()


async def test_a_server_that_was_never_set_up_is_told(server: VaultServer, answers: dict[str, dict[str, Any]]) -> None:
    """It is sealed too, and cannot be unsealed."""
    answers["/v1/sys/seal-status"] = {"initialized": False, "sealed": True}

    with pytest.raises(VaultUnavailable, match="is not initialised: set it up with `vault operator init`"):
        await server.require_unsealed()


@pytest.mark.parametrize("created_time", [None, 1, "", "yesterday"])
async def test_a_document_without_a_time_is_no_usable_answer(
    server: VaultServer, answers: dict[str, dict[str, Any]], created_time: object
) -> None:
    """Rather than a time that is made up."""
    metadata = {"version": 1, "created_time": created_time}
    answers["/v1/secret/data/pipedrive/crm/acme"] = {"data": {"data": {}, "metadata": metadata}}

    with pytest.raises(VaultUnavailable, match="in a way that we cannot read"):
        await server.read(ACME, OPERATOR)


@pytest.mark.parametrize("fraction", ["", ".1", ".123456789"])
async def test_a_time_is_read_however_many_digits_it_has(
    server: VaultServer, answers: dict[str, dict[str, Any]], fraction: str
) -> None:
    """Go leaves out trailing zeros (RFC 3339, section 5.6)."""
    metadata = {"version": 1, "created_time": f"2026-03-04T12:00:00{fraction}Z"}
    answers["/v1/secret/data/pipedrive/crm/acme"] = {"data": {"data": {}, "metadata": metadata}}

    document = await server.read(ACME, OPERATOR)

    assert document is not None
    assert document.created_at.isoformat().startswith(f"2026-03-04T12:00:00{fraction[:7]}")
    assert document.created_at.tzinfo is not None


@pytest.mark.parametrize("text", ["s.token\ns.another", "\ufeffs.token", "s.tökén", "s token"])
async def test_a_file_that_holds_more_than_a_token_is_told(server: VaultServer, tmp_path: Path, text: str) -> None:
    """It could not be sent, and none of it is quoted."""
    (tmp_path / "token").write_text(text, encoding="utf-8")

    with pytest.raises(VaultDenied, match="write the token there, and nothing else") as told:
        await server.read(ACME, OPERATOR)

    assert text not in told.value.message


async def test_tenants_who_come_while_another_is_logged_out_are_served(start: Start, clock: TurnedClock) -> None:
    """The one who was logged out has not come for long; a machine that is up for days knows no other time."""
    leaving, gone = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("revoke-self"):
            leaving.set()
            await gone.wait()
            return web.json_response({})
        if request.path.endswith("login"):
            auth = {"client_token": "s.tenant", "lease_duration": 86400, "renewable": True}
            return web.json_response({"auth": auth})
        return web.json_response({"data": {"data": {}, "metadata": {"version": 1, "created_time": CREATED}}})

    auth = VaultAuthSettings.model_validate({"method": "token", "token_file": "unused"})
    tenant_auth = TenantAuthSettings(enabled=True)
    address = HttpUrl(str((await start(answer)).make_url("/")))
    settings = VaultConnectionSettings(address=address, auth=auth, tenant_auth=tenant_auth)
    server = VaultServer("default", settings, clock, Tokens())
    old, first, second = (TenantIdentity(namespace=name, service_account="a", role="r") for name in ("o", "f", "s"))
    await server.read(ACME, old)
    clock.turn(timedelta(hours=2))

    reading = asyncio.create_task(server.read(ACME, first))
    await leaving.wait()
    assert await server.read(ACME, second) is not None
    gone.set()

    assert await reading is not None
    await server.aclose()
