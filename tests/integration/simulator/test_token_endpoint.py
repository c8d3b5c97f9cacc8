"""The token endpoint responds to valid and invalid requests as documented."""

import re

import pytest

from integration.simulator.acme import Acme, Answer, basic
from testbed.pipedrive import Rotation


async def test_a_code_is_exchanged_for_tokens_like_the_vendors(acme: Acme) -> None:
    """Their lengths, alphabets, scope separator and api_domain are those of the documented example."""
    answer = (await acme.exchange(acme.consent())).json

    assert re.fullmatch(r"v1u:[\w+/=]+:[\w+/=]+", answer["access_token"])
    assert len(answer["access_token"]) == 513
    assert re.fullmatch(rf"{acme.company.id}:{acme.user.id}:[0-9a-f]{{40}}", answer["refresh_token"])
    assert answer["expires_in"] == 3599
    assert answer["scope"] == "deals:full,base"
    assert answer["api_domain"] == acme.simulator.url


async def test_a_code_can_be_used_once(acme: Acme) -> None:
    """The second exchange is refused."""
    code = acme.consent()
    await acme.exchange(code)

    again = await acme.exchange(code)

    assert_refused(again, "invalid_grant", "Invalid grant: authorization_code is invalid")


async def test_a_code_expires_after_five_minutes(acme: Acme) -> None:
    """The message for an expired code differs."""
    code = acme.consent()
    acme.clock.now += 300

    late = await acme.exchange(code)

    assert_refused(late, "invalid_grant", "Invalid grant: authorization_code has expired")


@pytest.mark.parametrize(
    ("redirect_uri", "message"),
    [
        ("", "Invalid request: redirect_uri is not a valid URI"),
        ("https://elsewhere.example/", "Invalid request: redirect_uri is invalid"),
    ],
)
async def test_a_code_needs_the_registered_redirect_uri(acme: Acme, redirect_uri: str, message: str) -> None:
    """A wrong redirect_uri does not use up the code."""
    code = acme.consent()

    wrong = await acme.exchange(code, redirect_uri)

    assert_refused(wrong, "invalid_request", message)
    assert (await acme.exchange(code)).status == 200


@pytest.mark.parametrize(
    ("form", "error", "message"),
    [
        ({}, "invalid_request", "Missing parameter: grant_type"),
        (
            {"grant_type": "password"},
            "unsupported_grant_type",
            "Unsupported grant type: grant_type is invalid",
        ),
        ({"grant_type": "refresh_token"}, "invalid_grant", "Invalid grant: refresh_token is invalid"),
    ],
)
async def test_a_wrong_form_is_refused(acme: Acme, form: dict[str, str], error: str, message: str) -> None:
    """Each documented message comes with its error code."""
    # aiohttp sends no content type with an empty form.
    answer = await acme.post("/oauth/token", {"unknown": "field"} | form)

    assert_refused(answer, error, message)


async def test_a_body_in_json_is_refused(acme: Acme) -> None:
    """The endpoint accepts form encoding only."""
    headers = basic(acme.app.client_id, acme.app.client_secret)

    answer = await acme.ask("POST", "/oauth/token", json={"grant_type": "refresh_token"}, headers=headers)

    text = "Invalid request: content must be application/x-www-form-urlencoded"
    assert_refused(answer, "invalid_request", text)


async def test_the_client_credentials_may_be_in_the_body(acme: Acme) -> None:
    """The vendor's PHP client sends them there, and to the path with a slash at its end."""
    form = {
        "grant_type": "refresh_token",
        "refresh_token": acme.install()["refresh_token"],
        "client_id": acme.app.client_id,
        "client_secret": acme.app.client_secret,
    }

    answer = await acme.post("/oauth/token/", form, headers={})

    assert answer.status == 200


@pytest.mark.parametrize("status", [400, 401])
async def test_a_wrong_secret_has_another_error_than_a_wrong_grant(acme: Acme, status: int) -> None:
    """A switch selects the status; the code is always invalid_client, and the grant stays valid."""
    token = acme.install()["refresh_token"]
    acme.simulator.switches.bad_client_status = 400 if status == 400 else 401

    answer = await acme.refresh(token, headers=basic(acme.app.client_id, "wrong"))

    assert_refused(answer, "invalid_client", "Invalid client: client is invalid", status)
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert (await acme.refresh(token)).status == 200


@pytest.mark.parametrize("header", ["Basic !!!", "Bearer aWQ6c2VjcmV0", "Basic aWQ6"])
async def test_credentials_that_cannot_be_read_count_as_missing(acme: Acme, header: str) -> None:
    """A malformed header is not reported as a wrong client."""
    answer = await acme.refresh("x", headers={"Authorization": header})

    assert_refused(answer, "invalid_client", "Invalid client: cannot retrieve client credentials")


async def test_another_apps_refresh_token_is_invalid(acme: Acme) -> None:
    """A token belongs to its client."""
    token = acme.install()["refresh_token"]
    other = acme.simulator.world.add_app(redirect_uri="http://127.0.0.1:9/other")

    answer = await acme.refresh(token, headers=basic(other.client_id, other.client_secret))

    assert_refused(answer, "invalid_grant", "Invalid grant: refresh_token is invalid")


async def test_a_refresh_token_unused_for_sixty_days_expires(acme: Acme) -> None:
    """Each use restarts the sixty days, even without rotation."""
    token = acme.install()["refresh_token"]
    day = 24 * 3600
    statuses = []

    for pause in (59 * day, 59 * day, 60 * day):
        acme.clock.now += pause
        statuses.append((await acme.refresh(token)).status)

    assert statuses == [200, 200, 400]


async def test_without_rotation_the_same_refresh_token_is_returned(acme: Acme) -> None:
    """This documented behaviour is the default."""
    token = acme.install()["refresh_token"]

    answers = [(await acme.refresh(token)).json for _ in range(2)]

    assert {answer["refresh_token"] for answer in answers} == {token}
    assert answers[0]["access_token"] != answers[1]["access_token"]


async def test_with_rotation_the_old_refresh_token_is_refused_at_once(acme: Acme) -> None:
    """Its successor is accepted."""
    acme.simulator.switches.rotate = Rotation.ALWAYS
    old = acme.install()["refresh_token"]
    new = (await acme.refresh(old)).json["refresh_token"]

    replay = await acme.refresh(old)

    assert new != old
    assert_refused(replay, "invalid_grant", "Invalid grant: refresh_token is invalid")
    assert (await acme.refresh(new)).status == 200


async def test_with_grace_the_old_refresh_token_is_refused_later(acme: Acme) -> None:
    """It is accepted until the grace period ends."""
    acme.simulator.switches.rotate = Rotation.GRACE
    old = acme.install()["refresh_token"]
    statuses = []

    for pause in (0, 29, 1):
        acme.clock.now += pause
        statuses.append((await acme.refresh(old)).status)

    assert statuses == [200, 200, 400]


async def test_a_replay_revokes_the_grant_if_switched_on(acme: Acme) -> None:
    """The successor is revoked, too."""
    acme.simulator.switches.rotate = Rotation.ALWAYS
    acme.simulator.switches.replay_kills_grant = True
    old = acme.install()["refresh_token"]
    new = (await acme.refresh(old)).json["refresh_token"]

    await acme.refresh(old)

    assert (await acme.refresh(new)).status == 400


@pytest.mark.parametrize(("survives", "status"), [(True, 200), (False, 401)])
async def test_a_switch_decides_whether_earlier_access_tokens_survive_a_refresh(
    acme: Acme, *, survives: bool, status: int
) -> None:
    """The documentation does not say."""
    acme.simulator.switches.old_access_survives = survives
    first = acme.install()

    second = (await acme.refresh(first["refresh_token"])).json

    assert (await acme.me(first["access_token"])).status == status
    assert (await acme.me(second["access_token"])).status == 200


async def test_the_lifetime_of_an_access_token_is_a_switch(acme: Acme) -> None:
    """The token expires to the second."""
    acme.simulator.switches.expires_in = 60
    answer = acme.install()

    acme.clock.now += 59
    before = await acme.me(answer["access_token"])
    acme.clock.now += 1
    after = await acme.me(answer["access_token"])

    assert answer["expires_in"] == 60
    assert (before.status, after.status) == (200, 401)


async def test_a_second_consent_revokes_the_first_if_switched_on(acme: Acme) -> None:
    """By default both stay valid."""
    first, second = acme.install(), acme.install()
    acme.simulator.switches.second_consent_kills_first = True

    third = acme.install()

    tokens = [answer["refresh_token"] for answer in (first, second, third)]
    assert [(await acme.refresh(token)).status for token in tokens] == [400, 400, 200]


async def test_an_added_scope_revokes_access_tokens_and_is_not_in_the_old_grant(acme: Acme) -> None:
    """The refresh token keeps the old scopes; a new consent has the new ones."""
    old = acme.install()
    acme.simulator.grants.change_scopes(acme.app, ("deals:full", "leads:full"))

    refreshed = (await acme.refresh(old["refresh_token"])).json

    assert (await acme.me(old["access_token"])).status == 401
    assert refreshed["scope"] == "deals:full,base"
    assert acme.install()["scope"] == "deals:full,leads:full,base"


async def test_an_added_scope_leaves_access_tokens_valid_if_switched_on(acme: Acme) -> None:
    """The vendor's older documentation says so."""
    acme.simulator.switches.added_scope_kills_access = False
    old = acme.install()

    acme.simulator.grants.change_scopes(acme.app, ("deals:full", "leads:full"))

    assert (await acme.me(old["access_token"])).status == 200


async def test_a_removed_scope_is_missing_after_the_next_refresh(acme: Acme) -> None:
    """Access tokens stay valid until then."""
    old = acme.install()
    acme.simulator.grants.change_scopes(acme.app, ())

    refreshed = (await acme.refresh(old["refresh_token"])).json

    assert (await acme.me(old["access_token"])).status == 200
    assert refreshed["scope"] == "base"


async def test_api_domain_follows_the_company(acme: Acme) -> None:
    """After a rename, the next response has the new domain, by pattern or by its own address."""
    token = acme.install()["refresh_token"]
    acme.simulator.switches.api_domain = "https://{company_domain}.pipedrive.com"
    by_pattern = (await acme.refresh(token)).json["api_domain"]
    acme.company.domain = "umbrella"
    renamed = (await acme.refresh(token)).json["api_domain"]
    acme.company.api_domain = "https://elsewhere.example"

    own = (await acme.refresh(token)).json["api_domain"]

    assert (by_pattern, renamed) == ("https://acme.pipedrive.com", "https://umbrella.pipedrive.com")
    assert own == "https://elsewhere.example"


def assert_refused(answer: Answer, error: str, message: str, status: int = 400) -> None:
    """Check the status and the whole body of a refusal."""
    assert (answer.status, answer.json) == (status, {"success": False, "message": message, "error": error})
