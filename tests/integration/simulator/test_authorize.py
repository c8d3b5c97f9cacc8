"""The authorize page, with its two buttons."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from integration.simulator.acme import REDIRECT_URI, Acme, Answer


async def test_the_page_names_the_app_the_company_and_the_scopes(acme: Acme) -> None:
    """They are escaped."""
    acme.app.name = "<b>CRM</b>"

    page = await acme.ask("GET", address(acme))

    assert page.headers["content-type"].startswith("text/html")
    for text in ("&lt;b&gt;CRM", "Acme", "deals:full", "Accept", "Deny"):
        assert text in page.text


async def test_accepting_sends_the_browser_back_with_a_code(acme: Acme) -> None:
    """The state is returned unchanged, and the code can be exchanged."""
    back = await decide(acme, "accept")

    target = urlsplit(back.headers["location"])
    query = dict(parse_qsl(target.query))
    assert back.status == 302
    assert target._replace(query="").geturl() == REDIRECT_URI
    assert query["state"] == "a b&c"
    assert (await acme.exchange(query["code"])).status == 200


@pytest.mark.parametrize("denial", ["user_denied", "access_denied"])
async def test_denying_sends_the_browser_back_with_an_error(acme: Acme, denial: str) -> None:
    """A switch selects the error; there is no code."""
    acme.simulator.switches.denial = denial

    back = await decide(acme, "deny")

    query = dict(parse_qsl(urlsplit(back.headers["location"]).query))
    assert query == {"error": denial, "state": "a b&c"}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("&redirect_uri=http%3A%2F%2F127.0.0.1%2Felse", "Invalid redirect URL"),
        ("&client_id=unknown", "Invalid client: client is invalid"),
        ("&scope=", "Invalid request: scope is empty"),
    ],
)
async def test_a_wrong_authorization_url_shows_an_error(acme: Acme, change: str, error: str) -> None:
    """The browser is not redirected, neither from the page nor by a decision."""
    acme.simulator.switches.empty_scope_refused = True
    answers = [await acme.ask(method, "/oauth/authorize?" + change) for method in ("GET", "POST")]
    if "client_id" not in change:
        query = f"client_id={acme.app.client_id}{change}"
        answers = [await acme.ask(method, f"/oauth/authorize?{query}") for method in ("GET", "POST")]

    assert [(answer.status, answer.json) for answer in answers] == [(400, {"error": error})] * 2


async def test_an_empty_scope_is_accepted(acme: Acme) -> None:
    """n8n always sends one; its refusal is one report, so it is a switch."""
    assert (await acme.ask("GET", address(acme) + "&scope=")).status == 200


async def test_an_app_hidden_from_the_company_cannot_be_installed(acme: Acme) -> None:
    """An unlisted app of another company is an example."""
    acme.app.company_ids = (acme.company.id + 1,)

    answers = [await acme.ask("GET", address(acme)), await decide(acme, "accept")]

    expected = {"error": "App cannot be installed for requested company"}
    assert [(answer.status, answer.json) for answer in answers] == [(400, expected)] * 2


def address(acme: Acme) -> str:
    """Return the URL to which an integration sends the browser."""
    return f"/oauth/authorize?client_id={acme.app.client_id}&redirect_uri={REDIRECT_URI}&state=a+b%26c"


async def decide(acme: Acme, decision: str) -> Answer:
    """Press a button on the page."""
    form = {"user": f"{acme.company.id}:{acme.user.id}", "decision": decision}
    return await acme.ask("POST", address(acme), data=form)


async def test_the_page_can_be_on_the_domain_of_the_company(acme: Acme) -> None:
    """Pipedrive's is. A browser applies the form-action of the page before to this redirect, too."""
    acme.simulator.switches.company_page = "https://acme.pipedrive.test"

    moved = await acme.ask("GET", address(acme))
    page = await acme.ask("GET", moved.headers["location"].removeprefix("https://acme.pipedrive.test"))

    assert (302, 200) == (moved.status, page.status)
    assert moved.headers["location"].startswith("https://acme.pipedrive.test/oauth/authorize/apps?client_id=")


async def test_an_installation_from_the_marketplace_has_no_state(acme: Acme) -> None:
    """An app with an installation URL can begin a consent of its own there."""
    marketplace = f"/marketplace/install?client_id={acme.app.client_id}"
    begun = await acme.ask("GET", marketplace)
    acme.app.installation_url = "https://connect.example.com/"
    led = await acme.ask("GET", marketplace)

    assert begun.headers["location"].startswith(f"/oauth/authorize?client_id={acme.app.client_id}&redirect_uri=")
    assert "state" not in begun.headers["location"]
    assert "https://connect.example.com/" == led.headers["location"]
    assert 400 == (await acme.ask("GET", "/marketplace/install?client_id=unknown")).status
