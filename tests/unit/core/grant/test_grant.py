"""The format of grants in Vault: what a person may seed, and what is written back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipedrive_operator.core.grant.candidate import marks_of
from pipedrive_operator.core.grant.grant import (
    Grant,
    TokenResponse,
    half_refreshed_grant,
    read_grant,
    refreshed_grant,
    require_bounds,
    write_grant,
)
from pipedrive_operator.core.grant.intent import Intent, Unanswered
from pipedrive_operator.core.grant.terms import Terms
from pipedrive_operator.core.grant.token import LONGEST_LIFETIME
from pipedrive_operator.core.values.errors import SourceMissing
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import ACCOUNT, GRANT_LOCATION, NOW, access_token, document

ANSWER = TokenResponse(
    access_token=SecretValue("v1u:new"),
    refresh_token=SecretValue("12:34:new"),
    token_type="Bearer",
    expires_in=timedelta(seconds=3599),
    scope=frozenset({"deals:full", "base"}),
    api_domain="https://acme.pipedrive.com",
)


def test_a_refresh_token_alone_is_a_grant() -> None:
    """It has no access token yet."""
    grant = read_grant(document(GRANT_LOCATION, refresh_token=" 12:34:abc\n"))

    assert grant is not None
    assert (SecretValue("12:34:abc"), None) == (grant.refresh_token, grant.token)


@pytest.mark.parametrize("values", [{}, {"refresh_token": ""}, {"refresh_token": "\n"}, {"access_token": "v1u:x"}])
def test_without_a_refresh_token_there_is_no_grant(values: dict[str, object]) -> None:
    """Nothing could be refreshed."""
    assert read_grant(document(GRANT_LOCATION, **values)) is None
    assert read_grant(None) is None


@pytest.mark.parametrize("expires_in", [3599, "3599"])
def test_a_raw_token_response_is_a_grant_of_the_time_when_it_was_written(expires_in: object) -> None:
    """Its lifetime counts from the version's creation."""
    raw = {"access_token": "v1u:x", "refresh_token": "r", "scope": "base,deals:full", "expires_in": expires_in}

    grant = read_grant(document(GRANT_LOCATION, **raw))

    assert grant is not None
    assert grant.token is not None
    assert NOW + timedelta(seconds=3599) == grant.token.expires_at
    assert frozenset({"base", "deals:full"}) == grant.token.scope


@pytest.mark.parametrize(
    "expires_at",
    [
        "2026-03-04T13:00:00Z",
        "2026-03-04T14:00:00+01:00",
        "2026-03-04T13:00:00.999999Z",
        1772629200,
        "1772629200",
        1772629200.75,
    ],
)
def test_an_expiry_is_read_in_every_common_format(expires_at: object) -> None:
    """These are RFC 3339 and seconds since the epoch."""
    grant = read_grant(document(GRANT_LOCATION, access_token="v1u:x", refresh_token="r", expires_at=expires_at))

    assert grant is not None
    assert grant.token is not None
    assert datetime(2026, 3, 4, 13, tzinfo=UTC) == grant.token.expires_at


@pytest.mark.parametrize("expires_at", ["soon", "", "99999999999999999999", None])
def test_an_access_token_of_unknown_expiry_is_not_used(expires_at: object) -> None:
    """The refresh token is."""
    grant = read_grant(document(GRANT_LOCATION, access_token="v1u:x", refresh_token="r", expires_at=expires_at))

    assert grant is not None
    assert grant.token is None


@pytest.mark.parametrize(
    ("stated", "since"),
    [
        pytest.param({"expires_at": "9999-12-31T23:59:59Z"}, NOW, id="an expiry that never comes"),
        pytest.param({"expires_in": 10**10}, NOW, id="a lifetime of centuries"),
        pytest.param(
            {"expires_at": "9999-12-31T23:59:59Z", "obtained_at": "2026-01-01T00:00:00Z"},
            datetime(2026, 1, 1, tzinfo=UTC),
            id="obtained earlier than it was written",
        ),
    ],
)
def test_a_lifetime_of_more_than_a_year_is_cut_to_one(stated: dict[str, object], since: datetime) -> None:
    """Otherwise a refresh would never be due; a token response is cut alike."""
    grant = read_grant(document(GRANT_LOCATION, access_token="v1u:x", refresh_token="r", **stated))

    assert grant is not None
    assert grant.token is not None
    assert since + LONGEST_LIFETIME == grant.token.expires_at


def test_what_is_written_reads_back_and_keeps_what_is_foreign() -> None:
    """Flat strings, for `vault kv get`; a raw answer's lifetime gives way to an expiry."""
    seeded = document(GRANT_LOCATION, refresh_token="r", expires_in=3599, note="theirs", nested={"a": [1]})
    old = read_grant(seeded)
    assert old is not None
    new = refreshed_grant(old, ANSWER, client_id="client", asked_at=NOW)

    written = write_grant(new, seeded.values)

    assert new == read_grant(document(GRANT_LOCATION, **written))
    assert ("theirs", {"a": [1]}) == (written["note"], written["nested"])
    assert "expires_in" not in written
    assert all(isinstance(value, str) for key, value in written.items() if key != "nested")


def test_a_refreshed_grant_continues_the_one_that_was_spent() -> None:
    """This holds with and without rotation. The grant of a new consent continues none."""
    old = read_grant(document(GRANT_LOCATION, refresh_token="r"))
    assert old is not None
    new = refreshed_grant(old, ANSWER, client_id="client", asked_at=NOW)
    consent = read_grant(document(GRANT_LOCATION, refresh_token="another"))
    assert consent is not None

    assert new.continues(old.lineage)
    assert old.continues(old.lineage)
    assert not consent.continues(old.lineage)
    assert not new.continues(None)


def test_a_refreshed_grant_has_the_account_the_consent_and_the_descent_of_the_one_that_was_spent() -> None:
    """A copy in escrow has no other place to take them from. The marks of the refresh are gone."""
    terms = Terms(consent="uid", consent_generation=2, expected=None, over=None)
    mark = Unanswered(count=1, at=NOW, by="them")
    first = Grant(refresh_token=SecretValue("first"), account=ACCOUNT, consent="uid", consent_generation=2, terms=terms)
    old = replace(first, refresh_token=SecretValue("old"), first_refreshed_from=first.lineage, refresh_count=1)

    new = refreshed_grant(replace(old, unanswered=mark), ANSWER, client_id="client", asked_at=NOW)
    half = half_refreshed_grant(replace(old, unanswered=mark), SecretValue("half"))

    for made in (new, half):
        assert (old.lineage, first.lineage, 2) == (made.refreshed_from, made.first_refreshed_from, made.refresh_count)
        assert (ACCOUNT, "uid", 2, terms) == (made.account, made.consent, made.consent_generation, made.terms)
        assert (None, None) == (made.intent, made.unanswered)


@pytest.mark.parametrize("access", [{"access_token": "a", "expires_in": 1}, {"access_token": "a"}, {}])
def test_a_response_without_a_scope_keeps_the_former_scope(access: dict[str, object]) -> None:
    """RFC 6749 section 6: an omitted scope means the scope granted before, even without a usable access token."""
    old = read_grant(document(GRANT_LOCATION, refresh_token="r", scope="base,deals:full", **access))
    assert old is not None

    new = refreshed_grant(old, replace(ANSWER, scope=None), client_id="client", asked_at=NOW)

    assert new.token is not None
    assert frozenset({"base", "deals:full"}) == new.token.scope == new.scope


@pytest.mark.parametrize("former", ["https://acme.pipedrive.com", None])
def test_a_response_without_an_address_keeps_the_former_one(former: str | None) -> None:
    """The company has not moved just because its address was left out."""
    old = Grant(refresh_token=SecretValue("r"), token=access_token(api_domain=former))

    new = refreshed_grant(old, replace(ANSWER, api_domain=None), client_id="client", asked_at=NOW)

    assert new.token is not None
    assert new.token.api_domain == former
    assert new == read_grant(document(GRANT_LOCATION, **write_grant(new, {})))


@pytest.mark.parametrize(("key", "longest"), [("scope", 4096), ("access_token", 16_384), ("refresh_holder", 16_384)])
def test_a_field_of_a_grant_has_a_bound(key: str, longest: int) -> None:
    """The message names the key and both lengths, and not the value."""
    require_bounds(document(GRANT_LOCATION, **{key: "v" * longest, "theirs": "x" * 100_000}))

    with pytest.raises(SourceMissing, match=f"key {key} .* has {longest + 1:,} characters, .* {longest:,}") as caught:
        require_bounds(document(GRANT_LOCATION, **{key: "v" * (longest + 1)}))

    assert "vvv" not in caught.value.message


def test_a_value_that_is_named_has_a_bound() -> None:
    """It may be an API token, or a client's id or secret."""
    with pytest.raises(SourceMissing, match="has 16,385 characters"):
        document(GRANT_LOCATION, api_token="v" * 16_385).secret("api_token")


def test_an_account_whose_domain_is_no_dns_label_has_none() -> None:
    """Addresses are built from it."""
    grant = read_grant(document(GRANT_LOCATION, refresh_token="r", company_id=1, user_id=2, company_domain="evil/#"))

    assert grant is not None
    assert grant.account is not None
    assert "" == grant.account.company_domain


def test_a_refresh_token_that_was_written_alone_leaves_the_former_grant_behind() -> None:
    """`vault kv patch` writes it so. Access token, client, account and marks belong to the former refresh token."""
    former = Grant(
        refresh_token=SecretValue("former"),
        token=access_token("v1u:former"),
        client_id="former-client",
        account=ACCOUNT,
        refreshed_from="digest",
        intent=Intent(refresh_id="1", holder="us", started_at=NOW, timeout=timedelta(seconds=30)),
        unanswered=Unanswered(count=1, at=NOW, by="us"),
    )
    written = write_grant(former, {"note": "theirs", "scope": "base"})

    patched = read_grant(document(GRANT_LOCATION, **written | {"refresh_token": "consented"}))

    assert Grant(refresh_token=SecretValue("consented"), scope=access_token().scope) == patched
    assert patched is not None
    rewritten = write_grant(patched, written | {"refresh_token": "consented"})
    assert ("theirs", "consented") == (rewritten["note"], rewritten["refresh_token"])
    assert not {"access_token", "client_id", "company_id", "refreshed_from", "refresh_id"} & rewritten.keys()
    assert patched == read_grant(document(GRANT_LOCATION, **rewritten))


@pytest.mark.parametrize(("consent", "remains"), [("uid", True), (None, False)])
def test_of_the_former_intents_only_that_of_an_exchange_remains(consent: str | None, *, remains: bool) -> None:
    """A code or a candidate is in flight all the same, and must not be sent twice."""
    intent = Intent(refresh_id="1", holder="us", started_at=NOW, timeout=timedelta(seconds=30), consent=consent)
    former = Grant(refresh_token=SecretValue("former"), intent=intent, unanswered=Unanswered(count=1, at=NOW, by="us"))
    patched = document(GRANT_LOCATION, **write_grant(former, {}) | {"refresh_token": "consented"})

    found = read_grant(patched)

    assert found is not None
    assert (intent if remains else None) == found.intent
    assert marks_of(patched) == (found.intent, None)


def test_a_grant_without_the_digest_of_its_refresh_token_is_read_whole() -> None:
    """People and other tools do not write one, nor did earlier versions of the operator."""
    written = write_grant(Grant(refresh_token=SecretValue("r"), client_id="client"), {})
    del written["refresh_token_digest"]

    found = read_grant(document(GRANT_LOCATION, **written))

    assert found is not None
    assert found.client_id == "client"
