"""Revocation and uninstalling."""

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from integration.simulator.acme import Acme, basic


async def test_revoking_the_refresh_token_uninstalls_the_app(acme: Acme) -> None:
    """Every grant of that user for that app is revoked with it."""
    first, second = acme.install(), acme.install()

    answer = await acme.post("/oauth/revoke", {"token": first["refresh_token"]})

    assert answer.status == 200
    assert (await acme.refresh(second["refresh_token"])).status == 400
    assert (await acme.me(second["access_token"])).status == 401


async def test_revoking_an_access_token_leaves_the_install(acme: Acme) -> None:
    """Only that token is revoked, even with a wrong hint."""
    tokens = acme.install()

    form = {"token": tokens["access_token"], "token_type_hint": "refresh_token"}
    await acme.post("/oauth/revoke", form)

    assert (await acme.me(tokens["access_token"])).status == 401
    assert (await acme.refresh(tokens["refresh_token"])).status == 200


async def test_a_token_encoded_twice_is_understood(acme: Acme) -> None:
    """The vendor's JavaScript client does that."""
    token = acme.install()["access_token"]

    await acme.post("/oauth/revoke", {"token": quote(token, safe="")})

    assert (await acme.me(token)).status == 401


async def test_an_unknown_token_and_one_of_another_app_have_the_same_response(acme: Acme) -> None:
    """200, and nothing happens."""
    tokens = acme.install()
    other = acme.simulator.world.add_app(redirect_uri="http://127.0.0.1:9/other")
    headers = basic(other.client_id, other.client_secret)

    answers = [
        await acme.post("/oauth/revoke", {"token": token}, headers=headers)
        for token in ("x", tokens["refresh_token"], tokens["access_token"])
    ]

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert (await acme.me(tokens["access_token"])).status == 200
    assert (await acme.refresh(tokens["refresh_token"])).status == 200


@pytest.mark.parametrize(
    ("form", "secret", "error"),
    [({"token": "x"}, "wrong", "invalid_client"), ({"other": "x"}, None, "invalid_request")],
)
async def test_a_malformed_revocation_is_refused(
    acme: Acme, form: dict[str, str], secret: str | None, error: str
) -> None:
    """It must authenticate the client and name a token."""
    headers = basic(acme.app.client_id, secret or acme.app.client_secret)

    answer = await acme.post("/oauth/revoke", form, headers=headers)

    assert (answer.status, answer.json["error"]) == (400, error)


@pytest.fixture
async def callbacks(acme: Acme) -> AsyncIterator[list[tuple[str, str, dict[str, Any]]]]:
    """Receive what is sent to the app's callback URL."""
    received: list[tuple[str, str, dict[str, Any]]] = []

    async def receive(request: web.Request) -> web.Response:
        received.append((request.method, request.headers["Authorization"], await request.json()))
        return web.Response(status=418)

    application = web.Application()
    application.router.add_route("*", "/callback", receive)
    async with TestServer(application) as server:
        acme.app.redirect_uri = str(server.make_url("/callback"))
        yield received


async def test_uninstalling_notifies_the_app(acme: Acme, callbacks: list[tuple[str, str, dict[str, Any]]]) -> None:
    """DELETE to the callback URL, with the app's own credentials; the reply changes nothing."""
    token = acme.install()["refresh_token"]
    who = {"client_id": acme.app.client_id, "company_id": acme.company.id, "user_id": acme.user.id}

    delivery = await acme.simulator.uninstall(
        client_id=acme.app.client_id, company_id=acme.company.id, user_id=acme.user.id
    )

    authorization = "Basic " + b64encode(f"{acme.app.client_id}:{acme.app.client_secret}".encode()).decode()
    assert callbacks == [("DELETE", authorization, {**who, "timestamp": "2025-10-09T08:53:20+00:00"})]
    assert delivery.status == 418
    assert (await acme.refresh(token)).status == 400


async def test_sharing_an_app_notifies_it(acme: Acme, callbacks: list[tuple[str, str, dict[str, Any]]]) -> None:
    """The notice is a POST to the callback URL."""
    await acme.simulator.share_app(client_id=acme.app.client_id, company_id=acme.company.id, user_id=acme.user.id)

    ((method, _, body),) = callbacks
    assert ("POST", {"company_id": acme.company.id, "user_id": acme.user.id, "isShared": True}) == (method, body)


@pytest.mark.parametrize(("status", "live"), [(200, True), (404, False), (302, False)])
async def test_an_app_is_live_only_if_its_callback_url_responds(acme: Acme, status: int, *, live: bool) -> None:
    """The request has neither parameters nor credentials."""
    seen: list[tuple[str, str | None]] = []

    async def receive(request: web.Request) -> web.Response:
        seen.append((request.path_qs, request.headers.get("Authorization")))
        return web.Response(status=status)

    application = web.Application()
    application.router.add_get("/callback", receive)
    async with TestServer(application) as server:
        acme.app.redirect_uri = str(server.make_url("/callback"))
        await acme.simulator.change_to_live(client_id=acme.app.client_id)

    assert live is acme.app.is_live
    assert [("/callback", None)] == seen


async def test_an_app_that_cannot_be_notified_is_uninstalled(acme: Acme) -> None:
    """The callback is only a notification."""
    token = acme.install()["refresh_token"]

    delivery = await acme.simulator.uninstall(
        client_id=acme.app.client_id, company_id=acme.company.id, user_id=acme.user.id
    )

    assert delivery.error == "ClientConnectorError"
    assert (await acme.refresh(token)).status == 400


async def test_deleting_an_app_uninstalls_it_for_everyone(acme: Acme) -> None:
    """Its access tokens are revoked, and its credentials are unknown."""
    tokens = acme.install()

    acme.simulator.grants.delete_app(acme.app.client_id)

    assert (await acme.me(tokens["access_token"])).status == 401
    assert (await acme.refresh(tokens["refresh_token"])).json["error"] == "invalid_client"
