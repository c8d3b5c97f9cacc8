"""What `check` finds about consents: the callback URL of each app, and the front as a browser reaches it."""

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pipedrive_operator.config.settings import Settings
from pipedrive_operator.preflight.consent import check_consents
from pipedrive_operator.preflight.finding import Finding
from support.front import PREFIX, Fronts


async def findings(*, redirect_uri: str | None = None, **consent: Any) -> dict[str, Finding]:
    """Check consents, and return the findings by step."""
    app = {"path": "apps/crm-sync", "allowedNamespaces": ["crm"], "redirectUri": redirect_uri}
    settings = Settings.model_validate({"pipedrive": {"apps": {"crm-sync": app}}, "consent": consent})
    return {finding.step: finding for finding in await check_consents(settings)}


async def test_nothing_is_checked_while_consents_are_disabled() -> None:
    """They are disabled by default."""
    assert {} == await findings()


async def test_an_app_without_a_callback_url_is_found() -> None:
    """A consent with it could not begin."""
    found = (await findings(enabled=True))["consent with the app crm-sync"]

    assert not found.ok
    assert "pipedrive.apps.crm-sync.redirectUri" in found.remedy


@pytest.mark.parametrize(
    ("uri", "mode"), [("http://localhost:8085/callback", "loopback"), ("https://n8n.example.com/callback", "paste")]
)
async def test_the_mode_of_an_app_is_shown(uri: str, mode: str) -> None:
    """It follows from the callback URL."""
    found = (await findings(enabled=True, redirect_uri=uri))["consent with the app crm-sync"]

    assert (True, f"Pipedrive sends people back to {uri} ({mode})") == (found.ok, found.detail)


async def test_a_callback_url_that_misses_the_fronts_is_found() -> None:
    """A slash too many: Pipedrive would accept it, and the front would not."""
    uri = "https://connect.example.com/callback/"
    found = await findings(enabled=True, redirect_uri=uri, publicUrl="https://connect.example.com")

    finding = found["consent with the app crm-sync"]
    assert not finding.ok
    assert "the front's callback is https://connect.example.com/callback" in finding.detail


async def test_a_front_that_answers_is_found() -> None:
    """The check sends what Pipedrive sends to the callback URL."""
    async with Fronts().serve() as front:
        url = f"http://127.0.0.1:{front.port}{PREFIX}"
        found = await findings(enabled=True, publicUrl=url)

    assert "reached" == found[f"consent front {url}/callback"].detail
    assert all(finding.ok for finding in found.values())


@pytest.mark.parametrize("status", [200, 302, 404])
async def test_another_server_at_the_address_is_found(status: int) -> None:
    """It may be a proxy that shows a page of its own."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/login"}, text="<title>Welcome</title>")

    application = web.Application()
    application.router.add_get("/callback", answer)
    async with TestServer(application) as server:
        url = str(server.make_url("")).rstrip("/")
        found = await findings(enabled=True, publicUrl=url)

    finding = found[f"consent front {url}/callback"]
    assert (False, f"something else answers, with HTTP status {status}") == (finding.ok, finding.detail)


async def test_a_front_that_does_not_answer_is_found() -> None:
    """The finding says what to check."""
    found = (await findings(enabled=True, publicUrl="http://127.0.0.1:1"))["consent front http://127.0.0.1:1/callback"]

    assert (False, "not reached: ClientConnectorError") == (found.ok, found.detail)
    assert "certificate" in found.remedy
