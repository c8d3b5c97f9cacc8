"""Whatever a stranger sends to the front, no consent changes, and nothing is revealed."""

import asyncio
import json
import logging
from dataclasses import replace

import pytest

from pipedrive_operator import log, metrics
from pipedrive_operator.config.settings import LogSettings
from pipedrive_operator.core.resource import consent_link
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.front import server
from support.front import (
    ANSWERED,
    CALLBACK,
    CODE,
    CONSENT,
    COOKIE,
    LINK,
    LINK_KEY,
    PAGE,
    PREFIX,
    RESULT,
    STATE,
    Front,
    Fronts,
    exchange,
    linked,
    reported,
)

OTHER_KEY = consent_link.key_from(bytes(32))
OTHER_COOKIE = f"__Host-consent.crm.acme-x7k2p={OTHER_KEY.reveal()}"
OTHER_STATE = consent_link.state_of(OTHER_KEY, CONSENT).reveal()
TENANTS_STATE = consent_link.state_of(LINK_KEY, replace(CONSENT, namespace="ops")).reveal()


@pytest.mark.parametrize(
    ("query", "cookie"),
    [
        (f"code={CODE}&state={STATE}", ""),
        (f"code={CODE}&state={STATE}", OTHER_COOKIE),
        (f"code={CODE}&state={STATE}", f"__Host-consent.ops.acme-x7k2p={LINK_KEY.reveal()}"),
        (f"code={CODE}&state={STATE}", f"consent.crm.acme-x7k2p={LINK_KEY.reveal()}"),
        (f"code={CODE}&state={STATE}", f"{OTHER_COOKIE}; {COOKIE}"),
        (f"code={CODE}&state={STATE}", f"{COOKIE}; {COOKIE}"),
        (f"code={CODE}&state={OTHER_STATE}", COOKIE),
        (f"code={CODE}&state={TENANTS_STATE}", COOKIE),
        (f"code={CODE}&state={STATE[:-1]}", COOKIE),
        (f"code={CODE}&state=", COOKIE),
        (f"code={CODE}&state={STATE}%00", COOKIE),
        (f"code={CODE}&state=crm:..%2Facme:{'A' * 43}", COOKIE),
        (f"code={CODE}&error=user_denied&state={STATE}", COOKIE),
        (f"code={CODE}&code={CODE}&state={STATE}", COOKIE),
        (f"code={CODE}&state={STATE}&state={STATE}", COOKIE),
        (f"error=a&error=b&state={STATE}", COOKIE),
        (f"state={STATE}", COOKIE),
        (f"code=&state={STATE}", COOKIE),
        (f"code={'x' * 10_000}&state={STATE}", COOKIE),
        (f"code=a%20b&state={STATE}", COOKIE),
        (f"code=a%00b&state={STATE}", COOKIE),
        (f"code=a%0D%0ASet-Cookie:x&state={STATE}", COOKIE),
        (f"code=%C3%A9&state={STATE}", COOKIE),
        (f"code={CODE}&state={STATE}" + "&a=b" * 30, COOKIE),
    ],
)
async def test_a_callback_that_does_not_belong_to_the_browsers_link_is_refused(
    front: Front, query: str, cookie: str
) -> None:
    """A missing, foreign, doubled or malformed parameter or cookie causes no request to the API server."""
    page = await front.get(f"{CALLBACK}?{query}", cookie=cookie)

    assert 400 == page.status
    assert "<title>This answer does not belong here</title>" in page.body
    assert front.consent().spec.answer is None
    assert 0 == front.consents.requests


async def test_a_key_of_the_persons_own_opens_no_other_consent(front: Front) -> None:
    """The cookie and the state fit each other, but not the digest."""
    target = f"{CALLBACK}?code={CODE}&state={OTHER_STATE}"

    assert 404 == (await front.get(target, cookie=OTHER_COOKIE)).status
    assert front.consent().spec.answer is None


async def test_unknown_wrong_and_expired_links_get_the_same_page(front: Front) -> None:
    """A stranger cannot find out which consents exist."""
    wrong = f"{PAGE}?key={OTHER_KEY.reveal()}"
    unknown = LINK.replace("acme-x7k2p", "acme-none")
    answers = [await front.get(target) for target in (wrong, unknown, PAGE, f"{LINK}&key=x", f"{PAGE}?key=x", RESULT)]
    front.consents.report(CONSENT, reported(ConsentReason.EXPIRED))
    answers.append(await front.get(LINK))

    assert {404} == {answer.status for answer in answers}
    assert 1 == len({(answer.body, json.dumps(without_date(answer.headers))) for answer in answers})


def without_date(headers: object) -> object:
    """Return headers without the time."""
    assert isinstance(headers, dict)
    return {name: value for name, value in headers.items() if name != "Date"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_scanner_that_opens_the_link_has_no_effect(front: Front, method: str) -> None:
    """Mail scanners follow links."""
    page = await front.send(LINK, method=method)

    assert 200 == page.status
    assert "Set-Cookie" not in page.headers
    assert front.consent() == linked()


async def test_a_scanner_that_posts_changes_nothing_for_others(front: Front) -> None:
    """It gets a cookie and is sent to Pipedrive, where it cannot accept."""
    await front.send(LINK, method="POST")

    assert front.consent() == linked()


async def test_a_head_request_for_the_callback_stores_nothing(front: Front) -> None:
    """A prefetch might send one."""
    page = await front.send(ANSWERED, method="HEAD", headers={"Cookie": COOKIE})

    assert (200, "") == (page.status, page.body)
    assert front.consent().spec.answer is None


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_site_cannot_press_the_button(front: Front, site: str) -> None:
    """It would skip the page that says what will happen. A sibling domain is another site, too."""
    page = await front.press(LINK, site=site)

    assert 403 == page.status
    assert "Set-Cookie" not in page.headers
    assert 0 == front.consents.requests


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "PUT", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("target", [LINK, RESULT, CALLBACK, f"{PREFIX}/", f"{PREFIX}/style.css", "/other"])
async def test_every_response_has_the_headers_that_protect_the_browser(front: Front, target: str, method: str) -> None:
    """With every method, they forbid frames, scripts, referrers and caches."""
    headers = (await front.send(target, method=method)).headers

    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'; style-src 'self'; form-action 'self' https://oauth.pipedrive.com" in policy
    assert "https://*.pipedrive.com; frame-ancestors 'none'; base-uri 'none'" in policy
    assert "script" not in policy
    assert "no-store" == headers["Cache-Control"]
    assert "no-referrer" == headers["Referrer-Policy"]
    assert "nosniff" == headers["X-Content-Type-Options"]
    assert "DENY" == headers["X-Frame-Options"]
    assert "same-origin" == headers["Cross-Origin-Opener-Policy"]
    assert "max-age=31536000" == headers["Strict-Transport-Security"]
    assert "aiohttp" not in headers["Server"]


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/consent/crm/acme-x7k2p",
        "/connectx",
        "/connect/connect/",
        "//connect/",
        "//evil.example.com",
        "/connect//evil.example.com",
        "/connect/../connect/",
        "/connect/./callback",
        "/connect/consent/crm/..",
        "/connect/consent/crm/acme%2Dx7k2p",
        "/%63onnect/",
        "/connect/consent/crm/acme-x7k2p/",
        "/connect/consent/crm/acme-x7k2p/result/x",
        "/connect/consent/CRM/acme-x7k2p",
        "/connect/consent/crm/" + "a" * 64,
        "/connect/callback/",
        "/connect/style.css/",
        "/connect\\callback",
        "http://connect.example.com/connect/",
        "https://evil.example.com/connect/callback",
        "*",
    ],
)
async def test_a_path_matches_only_as_it_is_written(front: Front, target: str) -> None:
    """Stripped, doubled, encoded, relative or absolute paths lead to nothing, and never to a redirect."""
    page = await front.get(target)

    assert page.status in {400, 404}
    assert "Location" not in page.headers
    assert 0 == front.consents.requests


async def test_forged_headers_change_nothing(front: Front) -> None:
    """Neither Host nor what a proxy adds is read, so no link can be made to lead elsewhere."""
    forged = {
        "Host": "evil.example.com",
        "X-Forwarded-Host": "evil.example.com",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "host=evil.example.com",
        "X-Original-URL": "/evil",
        "X-HTTP-Method-Override": "DELETE",
    }
    plain, changed = await front.get(LINK), await front.send(LINK, headers=forged)
    redirect = await front.send(ANSWERED, headers={"Cookie": COOKIE, **forged})

    assert plain.body == changed.body
    assert RESULT == redirect.headers["Location"]


async def test_the_front_redirects_to_no_other_site_than_pipedrives(front: Front) -> None:
    """This holds even if the status of a consent names another site."""
    status = replace(
        reported(ConsentReason.WAITING), url="https://oauth.pipedrive.com.evil.example/oauth/authorize?a=b"
    )
    front.consents.report(CONSENT, status)

    assert RESULT == (await front.press(LINK)).headers["Location"]


async def test_a_deleted_consent_takes_no_answer(front: Front) -> None:
    """Nor does a consent of the same name that was created after the link was opened."""
    front.consents.consents.clear()
    assert 404 == (await front.get(ANSWERED, cookie=COOKIE)).status

    front.consents.put(linked(key=OTHER_KEY))
    assert 404 == (await front.get(ANSWERED, cookie=COOKIE)).status
    assert front.consent().spec.answer is None


async def test_what_a_consent_says_is_escaped(front: Front) -> None:
    """Anyone who can create a credential chooses some of the text."""
    status = replace(reported(ConsentReason.WAITING), app='<script>alert(1)</script>"')
    front.consents.report(CONSENT, status)

    page = await front.get(LINK)

    assert "<script" not in page.body
    assert "&lt;script&gt;" in page.body


async def test_a_flood_of_bad_links_reaches_the_api_server_at_a_bounded_rate() -> None:
    """The flood does not lock out a person who has opened a link."""
    async with Fronts(requests_per_second=5).serve() as front:
        front.consents.put(linked())
        await front.get(LINK)
        wrong = f"{PAGE}?key={OTHER_KEY.reveal()}"
        statuses = [(await front.get(wrong)).status for _ in range(60)]
        reached = front.consents.requests
        person = await front.get(ANSWERED, cookie=COOKIE)

    assert 20 == reached
    assert 41 == statuses.count(503)
    assert 303 == person.status


async def test_names_that_cannot_exist_cost_nothing(front: Front) -> None:
    """They are refused by a pattern."""
    for target in (f"{PAGE}?key=short", f"{PAGE}?key=", PAGE, f"{PREFIX}/consent/crm/UPPER?key={LINK_KEY.reveal()}"):
        assert 404 == (await front.get(target)).status

    assert 0 == front.consents.requests


async def test_while_the_api_server_is_away_nothing_is_lost(front: Front) -> None:
    """The page reloads itself, with the answer still in its address."""
    front.consents.is_down = True
    busy = await front.get(ANSWERED, cookie=COOKIE)
    front.consents.is_down = False
    redirect = await front.get(ANSWERED, cookie=COOKIE)

    assert (503, "3") == (busy.status, busy.headers["Refresh"])
    assert 303 == redirect.status
    assert front.consent().spec.answer is not None


async def test_neither_code_nor_key_nor_state_is_logged_or_counted(
    front: Front, capsys: pytest.CaptureFixture[str]
) -> None:
    """This holds for every path through the front, and for malformed requests."""
    log.configure(LogSettings())
    logging.getLogger().setLevel(logging.DEBUG)
    front.consents.is_down = True
    for target in (LINK, ANSWERED, RESULT):
        await front.get(target, cookie=COOKIE)
    front.consents.is_down = False
    for target in (LINK, ANSWERED, RESULT, f"{CALLBACK}?code={CODE}"):
        await front.get(target, cookie=COOKIE)
        await front.press(target, cookie=COOKIE)
    await exchange(front.port, f"GET {ANSWERED} HTTP/9.9\r\nHost: x\r\nbad\x00header {CODE}\r\n\r\n".encode())

    shown = capsys.readouterr().out
    assert "could not be answered" in shown
    for secret in (CODE, LINK_KEY.reveal(), STATE, STATE.rpartition(":")[2]):
        assert secret not in shown
        assert secret not in metrics.exposition().decode()


async def test_a_defect_shows_no_traceback(
    front: Front, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is logged, and the person gets a page."""

    async def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    log.configure(LogSettings())
    monkeypatch.setattr(front.consents, "read", fail)
    page = await front.get(LINK)

    assert 503 == page.status
    assert "defect" not in page.body
    assert "a defect" in capsys.readouterr().out


async def test_a_request_that_is_no_http_is_refused(front: Front) -> None:
    """The response does not repeat any part of it."""
    response = await exchange(front.port, b"<script>alert(1)</script>\r\n\r\n")

    assert (400, "The request cannot be read.\n") == (response.status, response.body)
    assert "nosniff" == response.headers["X-Content-Type-Options"]


async def test_slow_headers_end_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends a byte every few seconds must not keep a connection."""
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.2)
    async with Fronts().serve() as impatient:
        reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        async with asyncio.timeout(5):
            assert b"" == await reader.read()
        writer.close()


async def test_more_connections_than_allowed_are_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded."""
    monkeypatch.setattr(server, "MOST_BROWSER_CONNECTIONS", 2)
    async with Fronts().serve() as front:
        held = [await asyncio.open_connection("127.0.0.1", front.port) for _ in range(2)]
        await front_is_full(front)
        for _, writer in held:
            writer.close()


async def front_is_full(front: Front) -> None:
    """Assert that a further connection is closed without a response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    async with asyncio.timeout(5):
        assert b"" == await reader.read()
    writer.close()
