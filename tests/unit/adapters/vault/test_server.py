"""What a server tells that a real one seldom is brought to tell."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import HttpUrl

from pipedrive_operator.adapters.vault.server import VaultServer
from pipedrive_operator.core.errors import VaultUnavailable
from pipedrive_operator.core.vault import OPERATOR, VaultLocation
from pipedrive_operator.vault_settings import VaultAuthSettings, VaultConnectionSettings
from support.turned_clock import TurnedClock

ACME = VaultLocation(connection="default", mount="secret", path="pipedrive/crm/acme")
LIVING_TOKEN = {"data": {"ttl": 0, "expire_time": None}}

Start = Callable[..., Awaitable[TestServer]]


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
