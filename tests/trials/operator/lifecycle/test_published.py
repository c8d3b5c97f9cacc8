"""What a tenant receives: a Secret with a token that Pipedrive accepts, and a status that says so."""

import pytest

from support.tenant import Tenant, eventually, now

pytestmark = pytest.mark.usefixtures("operator")


def test_an_api_token_is_verified_and_published(tenant: Tenant) -> None:
    """The status names its company."""
    tenant.apply_api_token(account={"companyDomain": tenant.domain})

    secret = tenant.wait_until_published()

    assert {"api_token", "api_domain", "company_domain"} == set(secret)
    assert (tenant.api_token, tenant.domain) == (secret["api_token"], secret["company_domain"])


def test_a_trailing_newline_is_trimmed(tenant: Tenant) -> None:
    """`vault kv put` from a file leaves one."""
    tenant.apply_api_token(api_token=f"{tenant.api_token}\n")

    assert tenant.api_token == tenant.wait_until_published()["api_token"]


def test_a_grant_is_refreshed_stored_and_published(tenant: Tenant) -> None:
    """Vault holds what is published, and the refresh token of the consent was spent once."""
    seed = tenant.consent()["refresh_token"]
    tenant.apply_oauth2(seed={"refresh_token": seed})

    secret = tenant.wait_until_published()

    expected = {"access_token", "token_type", "api_domain", "expires_at", "scope", "company_domain"}
    assert expected == set(secret)
    stored = tenant.stored("acme")
    assert (stored["access_token"], stored["api_domain"]) == (secret["access_token"], secret["api_domain"])
    assert stored["refresh_token"] != seed
    assert 1 == tenant.pipedrive.ledger().spent(seed)


def test_a_raw_token_response_can_be_written_to_vault(tenant: Tenant) -> None:
    """Its access token is used unchanged: nothing is refreshed."""
    answer = tenant.consent()

    tenant.apply_oauth2(seed=answer)

    assert answer["access_token"] == tenant.wait_until_published()["access_token"]
    assert 0 == tenant.pipedrive.ledger().spent(answer["refresh_token"])


def test_a_template_replaces_the_default_keys(tenant: Tenant) -> None:
    """Values are quoted as JSON on request, and `$$` is a dollar sign."""
    data = {".env": "TOKEN=$(api_token)\n", "token.json": '{"token": $(api_token|json)}', "price": "5 $$(api_token)"}
    tenant.apply_api_token(target={"name": "pipedrive", "data": data})
    tenant.wait_for("Published")

    token = tenant.api_token
    expected = {".env": f"TOKEN={token}\n", "token.json": f'{{"token": "{token}"}}', "price": "5 $(api_token)"}
    assert expected == tenant.secret("pipedrive")


def test_a_new_value_is_verified_at_once(tenant: Tenant) -> None:
    """It is verified within one poll of Vault, not at the next verification."""
    tenant.apply_api_token()
    tenant.wait_until_published()

    tenant.store("acme", api_token=(new := tenant.regenerate_api_token()))

    tenant.wait_for_value(new)


def test_a_rejected_value_does_not_replace_the_last_accepted_one(tenant: Tenant) -> None:
    """The status says which of the two is wrong."""
    tenant.apply_api_token()
    good = tenant.wait_until_published()

    tenant.store("acme", api_token="f" * 40)

    assert "Pipedrive refused the token" in tenant.wait_for("TokenRejected")["message"]
    assert good == tenant.secret()


def test_missing_scopes_are_reported_and_the_token_is_published(tenant: Tenant) -> None:
    """The workload may not need all the scopes that it asked for."""
    tenant.apply_oauth2(oauth2={"requiredScopes": ["base", "users:read"]})

    assert "users:read" in tenant.wait_for("ScopeMissing")["message"]
    assert "access_token" in (tenant.secret() or {})


def test_a_token_of_another_company_is_not_published(tenant: Tenant) -> None:
    """The spec names the company that it must belong to."""
    tenant.apply_api_token(account={"companyDomain": "somebody-else"})

    assert tenant.domain in tenant.wait_for("WrongAccount")["message"]
    assert tenant.secret() is None


def test_a_renamed_company_is_reported_and_stays_published(tenant: Tenant) -> None:
    """The id of the company decides."""
    tenant.apply_api_token(account={"companyDomain": tenant.domain, "companyId": tenant.company_id})
    tenant.wait_until_published()

    tenant.pipedrive.command("change-company", company_id=tenant.company_id, domain=f"{tenant.domain}-new")

    eventually(lambda: f"{tenant.domain}-new" in tenant.conditions()["Ready"]["message"])
    assert "True" == tenant.conditions()["Ready"]["status"]


def test_an_access_token_that_was_revoked_early_is_refreshed_once(tenant: Tenant) -> None:
    """The verification notices it, and the grant is still valid."""
    tenant.apply_oauth2()
    revoked = tenant.wait_until_published()["access_token"]
    before = len(tenant.refreshes())

    tenant.pipedrive.command("revoke-token", token=revoked)

    eventually(lambda: tenant.secret()["access_token"] != revoked)  # type: ignore[index]  # it exists
    assert before + 1 == len(tenant.refreshes())


def test_a_requested_refresh_is_made_once(tenant: Tenant) -> None:
    """The status records which request was handled."""
    tenant.apply_oauth2()
    first = tenant.wait_until_published()["access_token"]
    asked = now()

    tenant.annotate("pipedrivecredential", "acme", requested_at=asked, request="refresh")

    eventually(lambda: tenant.secret()["access_token"] != first)  # type: ignore[index]  # it exists
    handled = eventually(lambda: tenant.get("pipedrivecredential", "acme")["status"].get("lastHandledRequest"))  # type: ignore[index]
    assert asked == handled


def test_a_suspended_credential_is_left_alone_until_it_is_resumed(tenant: Tenant) -> None:
    """The operator sends no request about it, and writes only its status."""
    tenant.apply_api_token(suspend=True)
    tenant.wait_for("Suspended")
    assert (None, []) == (tenant.secret(), tenant.calls())

    tenant.patch("pipedrivecredential", "acme", {"spec": {"suspend": False}})

    tenant.wait_until_published()


def test_an_access_token_is_replaced_before_it_expires(tenant: Tenant) -> None:
    """It is valid for a minute. `renewBefore` is limited to half of that, and the message says so."""
    tenant.apply_oauth2(oauth2={"renewBefore": "50s"})
    first = tenant.wait_until_published()
    assert "half" in tenant.conditions()["Ready"]["message"]

    eventually(lambda: tenant.secret()["access_token"] != first["access_token"], within=45)  # type: ignore[index]

    assert now() < first["expires_at"]
