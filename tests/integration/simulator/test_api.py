"""`/users/me` and its errors, for both kinds of credential."""

import pytest

from integration.simulator.acme import Acme

GATEWAY_BODY = {
    "success": False,
    "error": "unauthorized access",
    "errorCode": 401,
    "error_info": "Please check developers.pipedrive.com",
}


@pytest.mark.parametrize("path", ["/v1/users/me", "/api/v1/users/me"])
async def test_both_credentials_name_the_same_person(acme: Acme, path: str) -> None:
    """Bearer and x-api-token open both paths; company_domain is bare."""
    by_token = await acme.ask("GET", path, headers={"x-api-token": acme.user.api_token})
    by_grant = await acme.me(acme.install()["access_token"], path)

    assert by_token.json == by_grant.json
    person = by_token.json["data"]
    assert (person["id"], person["company_id"]) == (acme.user.id, acme.company.id)
    assert person["company_domain"] == "acme"
    assert person["access"][0]["admin"] is True
    assert "is_admin" not in person
    assert by_token.headers["x-ratelimit-reset"] == "2"


@pytest.mark.parametrize(("accepted", "status"), [(True, 200), (False, 401)])
async def test_a_token_in_the_query_is_accepted_if_switched_on(acme: Acme, *, accepted: bool, status: int) -> None:
    """It is undocumented, and widely used."""
    acme.simulator.switches.api_token_in_query = accepted

    answer = await acme.ask("GET", f"/v1/users/me?api_token={acme.user.api_token}")

    assert answer.status == status


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/v1/users/me", {}),
        ("GET", "/v1/users/me", {"x-api-token": "0" * 40}),
        ("GET", "/v1/users/me", {"Authorization": "Bearer fake"}),
        ("GET", "/api/v2/nothing", {}),
        ("DELETE", "/v1/users/me", {}),
    ],
)
async def test_authentication_comes_before_routing(acme: Acme, method: str, path: str, headers: dict[str, str]) -> None:
    """Every request without a valid credential gets the same response, on any path."""
    answer = await acme.ask(method, path, headers=headers)

    assert (answer.status, answer.json) == (401, GATEWAY_BODY)
    assert answer.headers["x-401-by-gw"] == "true"
    assert len(answer.headers["x-correlation-id"]) == 36


async def test_a_former_access_token_has_its_own_message(acme: Acme) -> None:
    """Pipedrive documents a message for an access token that is no longer valid."""
    tokens = acme.install()
    acme.simulator.revoke_token(token=tokens["access_token"])

    answer = await acme.me(tokens["access_token"])

    assert (answer.status, answer.json["error"]) == (401, "Invalid token: access_token is invalid")


async def test_another_authorization_scheme_is_malformed(acme: Acme) -> None:
    """The status is 400, not 401."""
    answer = await acme.ask("GET", "/v1/users/me", headers={"Authorization": "Basic eDp5"})

    assert (answer.status, answer.json["error"]) == (400, "Invalid request: malformed authorization header")


async def test_a_new_api_token_revokes_the_old_one_at_once(acme: Acme) -> None:
    """Each user has one per company."""
    old = acme.user.api_token
    acme.simulator.world.regenerate_api_token(company_id=acme.company.id, user_id=acme.user.id)

    answers = [
        await acme.ask("GET", "/v1/users/me", headers={"x-api-token": token}) for token in (old, acme.user.api_token)
    ]

    assert [answer.status for answer in answers] == [401, 200]


async def test_a_user_of_two_companies_has_a_token_for_each(acme: Acme) -> None:
    """The user's id is the same, the company differs."""
    other = acme.simulator.world.add_company(domain="umbrella")
    twin = acme.simulator.world.add_user(company_id=other.id, user_id=acme.user.id)

    answer = await acme.ask("GET", "/v1/users/me", headers={"x-api-token": twin.api_token})

    assert answer.json["data"]["company_domain"] == "umbrella"
    assert answer.json["data"]["id"] == acme.user.id


async def test_a_company_that_is_not_open_is_answered_with_402(acme: Acme) -> None:
    """The body has the usual envelope."""
    acme.company.is_open = False

    answer = await acme.me(acme.install()["access_token"])

    assert (answer.status, answer.json["errorCode"]) == (402, 402)


async def test_both_credentials_of_a_deactivated_user_are_unauthorized(acme: Acme) -> None:
    """This is an assumption; no recording shows it."""
    token = acme.install()["access_token"]
    acme.user.is_active = False

    by_token = await acme.ask("GET", "/v1/users/me", headers={"x-api-token": acme.user.api_token})

    assert (by_token.status, (await acme.me(token)).status) == (401, 401)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/v2/users/me", 404), ("GET", "/v1/persons", 404), ("POST", "/v1/users/me", 405)],
)
async def test_unknown_paths_and_methods_have_their_own_errors(acme: Acme, method: str, path: str, status: int) -> None:
    """The errors come after authentication."""
    answer = await acme.ask(method, path, headers={"x-api-token": acme.user.api_token})

    assert (answer.status, answer.json["success"]) == (status, False)
