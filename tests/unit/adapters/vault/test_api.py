"""Responses that a real server rarely gives, and the errors that they become."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import HttpUrl

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.vault import api
from pipedrive_operator.adapters.vault.api import VaultApi
from pipedrive_operator.config.vault import TenantAuthSettings, VaultAuthSettings, VaultConnectionSettings
from pipedrive_operator.core.grant.document import OPERATOR, Loss, TenantIdentity, VaultLocation
from pipedrive_operator.core.values.errors import SourceMissing, VaultDenied, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from support.properties import nested
from support.vault_clock import ImpatientClock

ACME = VaultLocation(connection="default", mount="secret", path="pipedrive/crm/acme")
CREATED = "2026-03-04T12:00:00Z"
LIVING_TOKEN = {"data": {"ttl": 0, "expire_time": None}}

Start = Callable[..., Awaitable[TestServer]]


class Tokens:
    """A cluster that issues tokens for every ServiceAccount."""

    async def secret(self, name: str, key: str) -> SecretValue | None:
        """Find no Secret."""

    async def service_account_token(self, identity: TenantIdentity, audience: str) -> SecretValue:
        """Return a token."""
        return SecretValue(f"{identity} {audience}")


@pytest.fixture
def answers() -> dict[str, dict[str, Any]]:
    """Return the server's responses by path; the test adds its own."""
    return {"/v1/auth/token/lookup-self": LIVING_TOKEN}


def adapter_of(server: TestServer, clock: TurnedClock, folder: Path) -> VaultApi:
    """Return an adapter that logs in with the token in a file."""
    token_file = folder / "token"
    token_file.write_text("s.token")
    auth = VaultAuthSettings.model_validate({"method": "token", "token_file": token_file})
    return VaultApi("default", VaultConnectionSettings(address=HttpUrl(str(server.make_url("/"))), auth=auth), clock)


@pytest.fixture
async def server(
    start: Start, answers: dict[str, dict[str, Any]], clock: TurnedClock, tmp_path: Path
) -> AsyncIterator[VaultApi]:
    """Return the adapter of a server that responds like that."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(answers[request.path])

    server = adapter_of(await start(answer), clock, tmp_path)
    yield server
    await server.aclose()


async def test_a_server_that_was_never_initialised_is_reported_as_such(
    server: VaultApi, answers: dict[str, dict[str, Any]]
) -> None:
    """It is sealed as well, but the advice to unseal it would not help."""
    answers["/v1/sys/seal-status"] = {"initialized": False, "sealed": True}

    with pytest.raises(VaultUnavailable, match="is not initialised: initialise it with `vault operator init`"):
        await server.require_unsealed()


@pytest.mark.parametrize(
    "created_time", [None, 1, "", "yesterday", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"]
)
async def test_a_document_without_a_usable_creation_time_is_unusable(
    server: VaultApi, answers: dict[str, dict[str, Any]], created_time: object
) -> None:
    """The adapter does not invent a time, and others calculate in UTC, which has years from 1 to 9999."""
    metadata = {"version": 1, "created_time": created_time}
    answers["/v1/secret/data/pipedrive/crm/acme"] = {"data": {"data": {}, "metadata": metadata}}

    with pytest.raises(VaultUnavailable, match="without the metadata of KV version 2"):
        await server.read(ACME, OPERATOR)


async def test_a_document_that_is_too_large_is_named(server: VaultApi, answers: dict[str, dict[str, Any]]) -> None:
    """It is that document's trouble: Vault is available, and the next document is read."""
    metadata = {"version": 1, "created_time": CREATED}
    path = "/v1/secret/data/pipedrive/crm/acme"
    answers[path] = {"data": {"data": {"a": "x" * 131_072}, "metadata": metadata}}
    answers[f"{path}-2"] = {"data": {"data": {"a": "x" * 100_000}, "metadata": metadata}}

    for _ in range(10):
        with pytest.raises(SourceMissing, match="more than 131,072 bytes for secret/pipedrive/crm/acme"):
            await server.read(ACME, OPERATOR)

    assert await server.read(replace(ACME, path=f"{ACME.path}-2"), OPERATOR) is not None


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param("1e400", "key note of secret/pipedrive/crm/acme in Vault holds a number", id="infinite"),
        pytest.param(r'"\ud800"', "key note of secret/pipedrive/crm/acme in Vault holds half", id="no character"),
        pytest.param("[" * 150 + "]" * 150, "key note of secret/pipedrive/crm/acme in Vault is nested", id="deep"),
        pytest.param("[" * 50_000 + "]" * 50_000, "secret/pipedrive/crm/acme that is nested", id="too deep to decode"),
        pytest.param("9" * 5000, "secret/pipedrive/crm/acme .* number of thousands of digits", id="digits"),
    ],
)
async def test_a_document_that_could_not_be_written_back_is_named(
    start: Start, clock: TurnedClock, tmp_path: Path, value: str, problem: str
) -> None:
    """It is that document's trouble: however often it is read, Vault is available, and other documents are read."""
    metadata = f'"metadata": {{"version": 1, "created_time": "{CREATED}"}}'

    async def answer(request: web.Request) -> web.Response:
        note = value if request.path.endswith("acme") else "1"
        return web.Response(text=f'{{"data": {{"data": {{"note": {note}}}, {metadata}, "ttl": 60}}}}')

    server = adapter_of(await start(answer), clock, tmp_path)
    for number in range(10):
        with pytest.raises(SourceMissing, match=problem):
            await server.read(ACME, OPERATOR)
        assert await server.read(replace(ACME, path=f"other-{number}"), OPERATOR) is not None
    await server.aclose()


@pytest.mark.parametrize("value", [float("inf"), "\ud800"], ids=["infinite", "no character"])
async def test_a_write_that_cannot_be_expressed_in_json_names_the_document(server: VaultApi, value: object) -> None:
    """No error of an encoder reaches the caller, who may hold the only copy of a grant."""
    with pytest.raises(SourceMissing, match="for /v1/secret/data/pipedrive/crm/acme was not sent"):
        await server.write(ACME, {"note": value}, OPERATOR, cas=1)


async def test_a_write_that_is_nested_too_deeply_names_the_document(server: VaultApi) -> None:
    """Python's encoder has no other bound than the stack."""
    with pytest.raises(SourceMissing, match="for /v1/secret/data/pipedrive/crm/acme was not sent"):
        await server.write(ACME, {"note": nested(50_000)}, OPERATOR, cas=1)


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda server: server.require_mount("secret"), id="mounts"),
        pytest.param(lambda server: server.require_capabilities(ACME), id="capabilities"),
        pytest.param(lambda server: server.read(ACME, OPERATOR), id="documents"),
    ],
)
async def test_a_server_that_does_not_know_the_token_is_no_lack_of_policy(
    start: Start, tmp_path: Path, ask: Callable[[VaultApi], Awaitable[object]]
) -> None:
    """A server behind the address lags: `check` blames neither the policy nor the mount."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/v1/auth/token/lookup-self":
            return web.json_response(LIVING_TOKEN)
        return web.json_response({"errors": ["2 errors occurred: permission denied, invalid token"]}, status=403)

    server = adapter_of(await start(answer), ImpatientClock(), tmp_path)

    with pytest.raises(VaultUnavailable, match=r"does not know the token of the operator .*invalid token"):
        await ask(server)
    await server.aclose()


@pytest.mark.parametrize("fraction", ["", ".1", ".123456789"])
async def test_a_creation_time_may_have_any_number_of_fractional_digits(
    server: VaultApi, answers: dict[str, dict[str, Any]], fraction: str
) -> None:
    """Go omits trailing zeros (RFC 3339, section 5.6)."""
    metadata = {"version": 1, "created_time": f"2026-03-04T12:00:00{fraction}Z"}
    answers["/v1/secret/data/pipedrive/crm/acme"] = {"data": {"data": {}, "metadata": metadata}}

    document = await server.read(ACME, OPERATOR)

    assert document is not None
    assert document.created_at.isoformat().startswith(f"2026-03-04T12:00:00{fraction[:7]}")
    assert document.created_at.tzinfo is not None


@pytest.mark.parametrize(
    ("values", "deletion_time", "destroyed", "loss"),
    [
        ({"a": "b"}, "", False, None),
        ({"a": "b"}, "2027-02-26T20:03:22.749738467Z", False, None),
        ({"a": "b"}, "2020-02-26T20:03:22.749738467Z", False, None),
        ({}, "2027-02-26T20:03:22.749738467Z", False, None),
        (None, "2020-02-26T20:03:22.749738467Z", False, Loss.DELETED),
        (None, "2027-02-26T20:03:22.749738467Z", False, Loss.DELETED),
        (None, "", False, Loss.DELETED),
        (None, "", True, Loss.DESTROYED),
    ],
)
async def test_a_version_is_alive_as_long_as_vault_returns_its_values(
    server: VaultApi,
    answers: dict[str, dict[str, Any]],
    *,
    values: object,
    deletion_time: str,
    destroyed: bool,
    loss: Loss | None,
) -> None:
    """Vault's clock decides when a version is deleted; `delete_version_after` gives every version a deletion time."""
    metadata = {"version": 1, "created_time": CREATED, "deletion_time": deletion_time, "destroyed": destroyed}
    answers["/v1/secret/data/pipedrive/crm/acme"] = {"data": {"data": values, "metadata": metadata}}

    document = await server.read(ACME, OPERATOR)

    assert document is not None
    assert document.loss is loss


@pytest.mark.parametrize("text", ["s.token\ns.another", "\ufeffs.token", "s.tökén", "s token"])
async def test_a_token_file_with_more_than_a_token_is_reported_without_its_content(
    server: VaultApi, tmp_path: Path, text: str
) -> None:
    """Its content cannot be sent in a header, and may be a secret."""
    (tmp_path / "token").write_text(text, encoding="utf-8")

    with pytest.raises(VaultDenied, match="write the token there, on one line and with nothing else") as caught:
        await server.read(ACME, OPERATOR)

    assert text not in caught.value.message


async def test_a_namespace_has_a_bounded_number_of_sessions(
    start: Start, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenant can name one role after the other; a session of another namespace is not closed for it."""
    monkeypatch.setattr(api, "MOST_SESSIONS", 3)
    logins: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("login"):
            logins.append((await request.json())["role"])
            auth = {"client_token": f"s.{logins[-1]}", "lease_duration": 86400, "renewable": True}
            return web.json_response({"auth": auth})
        return web.json_response({"data": {"data": {}, "metadata": {"version": 1, "created_time": CREATED}}})

    auth = VaultAuthSettings.model_validate({"method": "token", "token_file": "unused"})
    address = HttpUrl(str((await start(answer)).make_url("/")))
    settings = VaultConnectionSettings(address=address, auth=auth, tenant_auth=TenantAuthSettings(enabled=True))
    server = VaultApi("default", settings, clock, Tokens())
    honest = TenantIdentity(namespace="honest", service_account="a", role="honest")
    await server.read(ACME, honest)

    for role in ("r1", "r2", "r3", "r1", "r4", "r1", "r2"):
        await server.read(ACME, TenantIdentity(namespace="hostile", service_account="a", role=role))
    await server.read(ACME, honest)

    assert ["honest", "r1", "r2", "r3", "r4", "r2"] == logins
    await server.aclose()


async def test_tenants_are_served_while_an_idle_one_is_logged_out(start: Start, clock: TurnedClock) -> None:
    """The logout of a session that was not used for hours delays nobody else."""
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
    server = VaultApi("default", settings, clock, Tokens())
    old, first, second = (TenantIdentity(namespace=name, service_account="a", role="r") for name in ("o", "f", "s"))
    await server.read(ACME, old)
    clock.turn(timedelta(hours=2))

    reading = asyncio.create_task(server.read(ACME, first))
    await leaving.wait()
    assert await server.read(ACME, second) is not None
    gone.set()

    assert await reading is not None
    await server.aclose()
