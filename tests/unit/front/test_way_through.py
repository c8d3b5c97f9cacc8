"""What a person sees who accepts, declines, comes back or chooses the wrong company."""

from dataclasses import replace

import pytest

from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import OPEN_AGAIN, ConsentReason
from support.front import (
    ANSWERED,
    AUTHORIZATION_PAGE,
    CALLBACK,
    CODE,
    CONSENT,
    COOKIE,
    LINK,
    LINK_KEY,
    PAGE,
    RESULT,
    STATE,
    Front,
    Fronts,
    linked,
    reported,
)

ACME = Account(company_id=7, company_domain="acme", user_id=11)


async def test_the_page_says_what_will_happen(front: Front) -> None:
    """Before deciding, the person sees the credential, the app, the company, the scopes and the expiry."""
    expected = AccountGuard(company_domain="acme")
    status = reported(ConsentReason.WAITING, expected_account=expected, required_scopes=("base", "deals:full"))
    front.consents.report(CONSENT, status)

    page = await front.get(LINK)

    assert 200 == page.status
    for text in ("crm/acme", "prod", "crm-sync", "acme.pipedrive.com", "deals:full", "UTC", "Continue only if"):
        assert text in page.body
    assert front.consent().spec.answer is None


async def test_the_button_leads_to_pipedrive_with_the_state_and_leaves_a_cookie(front: Front) -> None:
    """The cookie is the key, so nothing has to be remembered here."""
    redirect = await front.press(LINK)

    assert 303 == redirect.status
    assert f"{AUTHORIZATION_PAGE}&state={STATE.replace(':', '%3A')}" == redirect.headers["Location"]
    assert f"{COOKIE}; Path=/; Max-Age=1800; Secure; HttpOnly; SameSite=Lax" == redirect.headers["Set-Cookie"]


async def test_the_answer_is_stored_and_leaves_the_address_bar(front: Front) -> None:
    """Any replica can serve the callback."""
    redirect = await front.get(ANSWERED, cookie=COOKIE)

    assert 303 == redirect.status
    assert RESULT == redirect.headers["Location"]
    answer = front.consent().spec.answer
    assert answer is not None
    assert (CODE, STATE) == (answer.code.reveal(), answer.state.reveal())


async def test_the_result_waits_until_the_operator_has_answered(front: Front) -> None:
    """A second is usually enough; otherwise the page reloads itself."""
    await front.get(ANSWERED, cookie=COOKIE)
    waiting = await front.get(RESULT, cookie=COOKIE)
    front.clock.on_sleep = lambda: front.consents.report(CONSENT, reported(ConsentReason.CONNECTED, account=ACME))
    connected = await front.get(RESULT, cookie=COOKIE)

    assert ("3", "Please wait") == (waiting.headers["Refresh"], title(waiting.body))
    assert "Connected" == title(connected.body)
    assert "Refresh" not in connected.headers
    for text in ("acme.pipedrive.com", "the user with the id 11", "crm/acme"):
        assert text in connected.body


@pytest.mark.parametrize("error", ["user_denied", "access_denied", "server_error", "<b>x</b>", ""])
async def test_a_denial_changes_nothing_and_offers_another_try(front: Front, error: str) -> None:
    """This holds for every error, and none of them is shown."""
    page = await front.get(f"{CALLBACK}?error={error}&state={STATE}", cookie=COOKIE)

    assert "You declined" == title(page.body)
    assert "<b>" not in page.body
    assert f'action="{PAGE}"' in page.body
    assert front.consent().spec.answer is None


async def test_another_try_needs_no_key_in_the_address(front: Front) -> None:
    """The cookie has it."""
    assert 303 == (await front.press(PAGE, cookie=COOKIE)).status
    assert 404 == (await front.press(PAGE)).status


async def test_the_wrong_company_is_named_beside_the_expected_one(front: Front) -> None:
    """The page explains how to switch the company."""
    status = reported(
        ConsentReason.WRONG_ACCOUNT,
        expected_account=AccountGuard(company_domain="acme"),
        account=Account(company_id=8, company_domain="other", user_id=12),
    )
    front.consents.report(CONSENT, status)

    page = await front.get(RESULT, cookie=COOKIE)

    assert "Another company or user is expected" == title(page.body)
    for text in ("other.pipedrive.com", "acme.pipedrive.com", "Nothing was changed", "profile picture", "Try again"):
        assert text in page.body


@pytest.mark.parametrize(
    "reason",
    [
        ConsentReason.CODE_REFUSED,
        ConsentReason.CODE_EXPIRED,
        ConsentReason.UNCERTAIN,
        ConsentReason.STATE_MISMATCH,
        ConsentReason.CLIENT_REJECTED,
    ],
)
async def test_a_failure_is_explained_and_can_be_tried_again(front: Front, reason: ConsentReason) -> None:
    """The same link can be used again: with the button, because a visitor may have no access to the cluster."""
    front.consents.report(CONSENT, reported(reason, f"Vault <b> is sealed: {OPEN_AGAIN}"))

    page = await front.get(RESULT, cookie=COOKIE)

    assert "Not connected" == title(page.body)
    assert "Vault &lt;b&gt; is sealed: select Try again" in page.body
    assert "kubectl" not in page.body
    assert 303 == (await front.press(PAGE, cookie=COOKIE)).status


@pytest.mark.parametrize(
    "reason",
    [
        ConsentReason.EXPIRED,
        ConsentReason.SUPERSEDED,
        ConsentReason.CREDENTIAL_CHANGED,
        ConsentReason.TOO_MANY_ANSWERS,
        ConsentReason.INVALID,
    ],
)
async def test_an_ended_consent_is_explained_only_to_a_person_who_opened_its_link(
    front: Front, reason: ConsentReason
) -> None:
    """Anyone else sees the page for a link that never existed."""
    front.consents.report(CONSENT, reported(reason))

    begun, fresh = await front.get(RESULT, cookie=COOKIE), await front.get(LINK)

    assert (200, "This link has ended") == (begun.status, title(begun.body))
    assert "kubectl pipedrive connect acme --namespace crm" in begun.body
    assert (404, "This link cannot be used") == (fresh.status, title(fresh.body))
    assert 404 == (await front.press(LINK)).status


async def test_a_new_consent_shows_that_its_link_is_being_prepared(front: Front) -> None:
    """The page says so until the operator has read the client."""
    front.consents.put(replace(linked(), status=replace(linked().status, url=None, conditions=())))

    page = await front.get(LINK)

    assert "Please wait" == title(page.body)
    assert "preparing" in page.body
    assert RESULT == (await front.press(LINK)).headers["Location"]


async def test_an_old_status_is_not_the_result_of_a_new_answer(front: Front) -> None:
    """The operator has not seen the answer yet."""
    front.consents.report(CONSENT, reported(ConsentReason.WRONG_ACCOUNT))
    await front.get(ANSWERED, cookie=COOKIE)

    assert "Please wait" == title((await front.get(RESULT, cookie=COOKIE)).body)


async def test_a_reloaded_callback_changes_nothing(front: Front) -> None:
    """A person presses reload, or goes back."""
    await front.get(ANSWERED, cookie=COOKIE)
    first = front.consent()
    await front.get(ANSWERED, cookie=COOKIE)
    front.consents.report(CONSENT, reported(ConsentReason.CONNECTED))
    again = await front.get(ANSWERED.replace("1.2.", "1.3."), cookie=COOKIE)

    assert RESULT == again.headers["Location"]
    assert first.spec == front.consent().spec


async def test_two_tabs_work(front: Front) -> None:
    """Each consent has a cookie of its own."""
    other = replace(CONSENT, name="other-1")
    front.consents.put(linked(name=other))
    redirects = [await front.press(target) for target in two_links(other)]
    cookies = "; ".join(redirect.headers["Set-Cookie"].split(";")[0] for redirect in redirects)

    assert 303 == (await front.get(ANSWERED, cookie=cookies)).status
    assert 200 == (await front.get(RESULT.replace("acme-x7k2p", "other-1"), cookie=cookies)).status


def two_links(other: Key) -> tuple[str, str]:
    """Return the links of two consents with the same key, from which two states follow."""
    return LINK, f"/connect/consent/{other}?key={LINK_KEY.reveal()}"


async def test_an_installation_from_the_marketplace_is_explained(front: Front) -> None:
    """It brings a code and no state, so the code is not used."""
    page = await front.get(f"{CALLBACK}?code={CODE}")

    assert (200, "One more step") == (page.status, title(page.body))
    assert "Nothing was connected" in page.body
    assert CODE not in page.body


@pytest.mark.parametrize("target", [CALLBACK, "/connect/", "/connect"])
async def test_the_probe_of_change_to_live_gets_a_page(front: Front, target: str) -> None:
    """Pipedrive checks the callback URL with a request of its own."""
    page = await front.get(target)

    assert (200, "Connect Pipedrive") == (page.status, title(page.body))


async def test_the_report_of_a_shared_app_is_accepted_and_ignored(front: Front) -> None:
    """It means nothing to the operator."""
    assert 204 == (await front.send(CALLBACK, method="POST", body=b'{"isShared": true}')).status


async def test_any_replica_can_continue(front: Front) -> None:
    """The person begins at one replica and comes back to another."""
    async with Fronts(consents=front.consents).serve() as other:
        cookie = (await front.press(LINK)).headers["Set-Cookie"].split(";")[0]

        assert 303 == (await other.get(ANSWERED, cookie=cookie)).status
    assert front.consent().spec.answer is not None


def title(body: str) -> str:
    """Return the title of a page."""
    return body.partition("<title>")[2].partition("</title>")[0]
