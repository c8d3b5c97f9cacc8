"""The reconciler of consents with fake ports: from a consent to a published token, and everything that can go wrong."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest

from pipedrive_operator.core.decision.consents import KEPT_AT_MOST, KEPT_FOR
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.conditions import ConditionStatus, ConditionType
from pipedrive_operator.core.values.consent_reasons import ConsentConditionType, ConsentReason
from pipedrive_operator.core.values.errors import ApiServerUnavailable, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.reconcile.answers import RETRY, Answers
from support.builders import ACCOUNT, CLIENT_SOURCE, GRANT_LOCATION, NOW, OAUTH2_SPEC, resource
from support.consenting import CONSENT, UNGUARDED, ConsentingPerson, unconnected_world
from support.faked_operator import FakedOperator

OTHER_COMPANY = Account(company_id=99, company_domain="other", user_id=7)


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Provide a world with a credential whose grant is missing."""
    async for made in unconnected_world():
        yield made


async def test_a_person_connects_an_account_and_the_token_is_published(world: FakedOperator) -> None:
    """A credential without a grant ends with a Secret and an Event."""
    await world.settle()
    assert ("False", "GrantMissing") == world.condition(ConditionType.AUTHORIZED)
    person = ConsentingPerson(world)

    assert await person.accepts() is ConsentReason.CONNECTED
    await world.settle()

    assert "access-2" == world.value("access_token")
    assert ("True", "Published") == world.condition(ConditionType.READY)
    assert person.consent.status.account == ACCOUNT
    assert ["Connected"] == [event.reason for event in world.cluster.events if not event.warning][:1]
    assert ["code-1"] == world.pipedrive.sent


async def test_the_link_is_reported_with_all_that_its_page_shows(world: FakedOperator) -> None:
    """A viewer cannot use any of it: neither the key nor the state is in the cluster."""
    world.cluster.apply(resource(OAUTH2_SPEC | {"oauth2": OAUTH2_SPEC["oauth2"] | {"requiredScopes": ["base"]}}))
    person = ConsentingPerson(world)

    status = (await person.sees_link()).status

    assert person.reports(ConsentReason.WAITING)
    assert status.url == (
        "https://oauth.pipedrive.com/oauth/authorize?client_id=client"
        "&redirect_uri=https%3A%2F%2Fconnect.example.com%2Fcallback"
    )
    assert "https://connect.example.com/consent/crm/acme-x1" == status.page_url
    assert "https://connect.example.com/callback" == status.redirect_uri
    assert ("crm-sync", ("base",)) == (status.app, status.required_scopes)
    assert status.expires_at == NOW + timedelta(minutes=30)
    assert status.expected_account == AccountGuard(company_domain="acme")
    assert status.observed_generation == 1


async def test_an_answer_without_the_state_is_not_sent(world: FakedOperator) -> None:
    """An editor who patches an answer cannot connect an account of their own."""
    person = ConsentingPerson(world)

    assert await person.accepts(state=SecretValue(f"crm:acme-x1:{'A' * 43}")) is ConsentReason.STATE_MISMATCH
    assert [] == world.pipedrive.sent
    assert ["ConsentRefused"] == [event.reason for event in world.cluster.events if "acme-x1" in event.message]
    assert await person.accepts() is ConsentReason.CONNECTED
    assert [ConsentReason.STATE_MISMATCH, ConsentReason.CONNECTED] == world.consents_ended


async def test_a_code_is_sent_once_although_an_old_answer_comes_back(world: FakedOperator) -> None:
    """A person loads the page of the first redirect again after the second one has failed too."""
    person = ConsentingPerson(world)
    await person.sees_link()
    first, second = SecretValue("first"), SecretValue("second")
    for code in (first, second, first):
        world.consents.answer(person.key, code, person.state)
        await world.settle_consent(person.key)

    assert ["first", "second"] == world.pipedrive.sent
    assert person.reports(ConsentReason.CODE_REFUSED)
    assert "came back" in person.message
    assert await person.accepts() is ConsentReason.CONNECTED


async def test_the_wrong_company_changes_nothing_and_the_link_stays_usable(world: FakedOperator) -> None:
    """The pinned company is that of the first consent."""
    assert await ConsentingPerson(world).accepts() is ConsentReason.CONNECTED
    await world.settle()
    before = world.vault.documents[GRANT_LOCATION].values
    again = ConsentingPerson(world, Key(namespace="crm", name="acme-x2"))

    assert await again.accepts(OTHER_COMPANY) is ConsentReason.WRONG_ACCOUNT

    assert before == world.vault.documents[GRANT_LOCATION].values
    assert again.consent.status.account == OTHER_COMPANY
    assert again.consent.status.condition(ConsentConditionType.READY).status is ConditionStatus.TRUE  # type: ignore[union-attr]
    assert "ConsentRefused" in [event.reason for event in world.cluster.events]
    assert await again.accepts() is ConsentReason.CONNECTED


async def test_another_company_is_accepted_if_the_consent_allows_it_and_is_pinned_then(world: FakedOperator) -> None:
    """This holds even if the process dies before the status has the new pin. A later change is not allowed."""
    await ConsentingPerson(world).accepts()
    await world.settle()
    allowing = ConsentingPerson(world, Key(namespace="crm", name="acme-x2"), allowAccountChange=True)

    assert await allowing.accepts(OTHER_COMPANY) is ConsentReason.CONNECTED
    world.start()
    await world.settle()

    assert "access-4" == world.value("access_token")
    assert ("True", "Published") == world.condition(ConditionType.READY)
    assert ("other", None) == (world.value("company_domain"), world.consents.get(allowing.key).status.expected_account)

    world.vault.put(GRANT_LOCATION, refresh_token=world.pipedrive.consent())
    world.clock.turn(timedelta(minutes=59))
    await world.settle()
    assert ("False", "WrongAccount") == world.condition(ConditionType.AUTHORIZED)


async def test_a_consent_that_ended_is_deleted_after_an_hour(world: FakedOperator) -> None:
    """Its pages and its status can be read until then."""
    person = ConsentingPerson(world)
    await person.accepts()

    assert await world.settle_consent(CONSENT) == timedelta(hours=1)
    world.clock.turn(timedelta(hours=1))
    await world.settle_consent(CONSENT)

    assert {} == world.cluster.consents
    assert world.consent_cache.consent(CONSENT) is None


async def test_a_consent_whose_change_of_company_was_undone_by_hand_is_deleted_after_four_weeks(
    world: FakedOperator,
) -> None:
    """Its credential belongs to the former company again, as it does before such a change is made."""
    await ConsentingPerson(world).accepts()
    await world.settle()
    world.clock.turn(timedelta(seconds=5))
    allowing = ConsentingPerson(world, Key(namespace="crm", name="acme-x2"), allowAccountChange=True)
    await allowing.accepts(OTHER_COMPANY)
    await world.settle()
    world.cluster.apply(resource(UNGUARDED | {"account": {"companyId": ACCOUNT.company_id}}))
    world.pipedrive.alive.add("by hand")
    world.vault.put(GRANT_LOCATION, refresh_token="by hand")
    world.clock.turn(timedelta(minutes=10))
    await world.settle()
    assert "acme" == world.value("company_domain")

    world.clock.turn(KEPT_FOR)
    assert await world.settle_consent(allowing.key) == KEPT_FOR
    world.clock.turn(KEPT_AT_MOST)
    await world.settle_consent(allowing.key)

    assert world.consent_cache.consent(allowing.key) is None


async def test_a_consent_that_changed_before_it_was_deleted_is_deleted_after_a_pause(world: FakedOperator) -> None:
    """Its event had not arrived yet. The change alone, such as a label, is no reason to look again."""
    await ConsentingPerson(world).accepts()
    await world.settle_consent(CONSENT)
    world.clock.turn(KEPT_FOR)
    body, watchers = world.cluster.consents[CONSENT], list(world.cluster.watchers)
    world.cluster.watchers.clear()
    world.cluster.store_consent(body | {"metadata": body["metadata"] | {"labels": {"team": "sales"}}})

    assert await world.settle_consent(CONSENT) == RETRY
    assert CONSENT in world.cluster.consents
    world.cluster.watchers += watchers
    world.consent_cache.see("MODIFIED", world.cluster.consents[CONSENT])
    await world.settle_consent(CONSENT)

    assert {} == world.cluster.consents
    assert await world.settle_consent(CONSENT) is None


async def test_an_unused_link_expires(world: FakedOperator) -> None:
    """Its lifetime counts from its creation by the API server."""
    person = ConsentingPerson(world, lifetime="10m")

    await person.sees_link()
    assert await world.settle_consent(CONSENT) == timedelta(minutes=10)
    world.clock.turn(timedelta(minutes=10))

    await world.settle_consent(CONSENT)
    assert person.reports(ConsentReason.EXPIRED)
    assert [ConsentReason.EXPIRED] == world.consents_ended
    assert [] == [event.reason for event in world.cluster.events if "acme-x1" in event.message]
    assert await person.accepts() is ConsentReason.EXPIRED
    assert [] == world.pipedrive.sent


@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(minutes=-10)], ids=["ahead", "behind"])
async def test_clocks_that_differ_by_ten_minutes_only_move_the_end_of_the_link(
    world: FakedOperator, ahead: timedelta
) -> None:
    """The API server's clock dates the consent; the age of the code is measured by the operator's own."""
    world.clock.turn(timedelta(hours=1))
    created = world.clock.now()
    person = ConsentingPerson(world)
    world.clock.turn(ahead)

    assert (await person.sees_link()).status.expires_at == created + timedelta(minutes=30)
    assert await person.accepts() is ConsentReason.CONNECTED
    assert ["code-1"] == world.pipedrive.sent


async def test_a_newer_consent_supersedes_an_older_one(world: FakedOperator) -> None:
    """Two links at once would be two answers about one grant."""
    older = ConsentingPerson(world)
    await older.sees_link()
    world.clock.turn(timedelta(seconds=1))
    newer = ConsentingPerson(world, Key(namespace="crm", name="acme-a1"))

    assert await older.accepts() is ConsentReason.SUPERSEDED
    assert await newer.accepts() is ConsentReason.CONNECTED


async def test_a_link_can_be_used_only_a_few_times(world: FakedOperator) -> None:
    """Each answer costs a call to Pipedrive."""
    await ConsentingPerson(world).accepts()
    await world.settle()
    person = ConsentingPerson(world, Key(namespace="crm", name="acme-x2"))

    reasons = [await person.accepts(OTHER_COMPANY) for _ in range(6)]

    assert [ConsentReason.WRONG_ACCOUNT] * 5 + [ConsentReason.TOO_MANY_ANSWERS] == reasons


@pytest.mark.parametrize(
    ("spec", "metadata"),
    [
        pytest.param({"oauth2": UNGUARDED["oauth2"] | {"grant": {"path": "pipedrive/crm/other"}}}, {}, id="path"),
        pytest.param({"oauth2": UNGUARDED["oauth2"] | {"client": {"path": "pipedrive/crm/app"}}}, {}, id="client"),
        pytest.param(UNGUARDED | {"suspend": True}, {}, id="suspended"),
        pytest.param(UNGUARDED, {"uid": "recreated"}, id="recreated"),
        pytest.param(UNGUARDED, {"deletionTimestamp": "2026-03-04T12:00:00Z"}, id="being deleted"),
        pytest.param({"apiToken": {"path": "pipedrive/crm/acme-token"}}, {}, id="no OAuth2 any more"),
        pytest.param({"oauth2": UNGUARDED["oauth2"] | {"client": {"app": "unknown"}}}, {}, id="app not allowed"),
    ],
)
async def test_a_credential_that_changed_after_the_link_was_made_is_not_connected(
    world: FakedOperator, spec: dict[str, Any], metadata: dict[str, Any]
) -> None:
    """The person has agreed to something else."""
    person = ConsentingPerson(world, owner_uid="uid-of-acme")
    await person.sees_link()
    world.cluster.apply(resource(spec, generation=2, **metadata))

    assert await person.accepts() is ConsentReason.CREDENTIAL_CHANGED
    assert [] == world.pipedrive.sent


async def test_a_credential_that_cannot_be_connected_is_refused_with_the_reason(world: FakedOperator) -> None:
    """The message names the field."""
    world.cluster.apply(resource({"oauth2": UNGUARDED["oauth2"] | {"client": {"app": "unknown"}}}, generation=2))
    person = ConsentingPerson(world)

    await person.sees_link()

    assert person.reports(ConsentReason.INVALID)
    assert "unknown" in person.message


async def test_a_link_waits_for_the_client_in_vault(world: FakedOperator) -> None:
    """The message says what to do; the link appears once Vault has the client."""
    client = world.vault.documents.pop(CLIENT_SOURCE.location)
    person = ConsentingPerson(world)

    assert await world.settle_consent(CONSENT) == timedelta(seconds=5)
    assert person.reports(ConsentReason.PENDING)
    assert "Vault has no client" in person.message
    world.vault.documents[CLIENT_SOURCE.location] = client
    await world.settle_consent(CONSENT)

    assert person.reports(ConsentReason.WAITING)


async def test_a_deleted_consent_is_not_exchanged(world: FakedOperator) -> None:
    """It was deleted after the answer was seen."""
    person = ConsentingPerson(world)
    await person.sees_link()
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)
    held = world.consent_cache.consent(CONSENT)
    world.consents.remove(CONSENT)
    assert held is not None
    world.consent_cache.keep(held)

    await world.consent_reconciler.reconcile(CONSENT)

    assert [] == world.pipedrive.sent


async def test_nothing_is_remembered_of_a_deleted_consent(world: FakedOperator) -> None:
    """A tenant could create, answer and delete consents for days."""
    person = ConsentingPerson(world)
    await person.sees_link()
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)
    world.cluster.breaks = ApiServerUnavailable("the claim fails")
    with pytest.raises(ApiServerUnavailable):
        await world.consent_reconciler.reconcile(CONSENT)
    world.cluster.breaks = None
    world.consents.remove(CONSENT)

    await world.consent_reconciler.reconcile(CONSENT)

    answers = world.consent_reconciler._answers  # noqa: SLF001  the memory itself
    assert vars(Answers()) == vars(answers)


@pytest.mark.parametrize("value", [f"12:34:{'5f' * 20}", "5f" * 20, "v1u:AQIBAHj"])
async def test_no_secret_gets_into_the_address_of_the_authorization_page(world: FakedOperator, value: str) -> None:
    """A spec may name the wrong key, or a person may have stored the secret under the key of the id."""
    world.vault.put(CLIENT_SOURCE.location, client_id=value, client_secret="hush")
    person = ConsentingPerson(world)

    consent = await person.sees_link()

    assert consent.status.url is None
    assert "looks like a token or a client secret" in person.message
    assert value not in str(world.cluster.consents[CONSENT])


async def test_the_conditions_of_a_consent_are_masked(world: FakedOperator) -> None:
    """The mask is the last defence, as for the conditions of a credential."""
    token = f"12:34:{'5f' * 20}"
    person = ConsentingPerson(world)
    world.vault.breaks = VaultUnavailable(f"Vault says {token}")

    await person.sees_link()
    world.vault.breaks = None

    assert "Vault says (hidden)" in person.message
    assert token not in str(world.cluster.consents[CONSENT])


@pytest.mark.parametrize("has_link", [False, True], ids=["its link", "its end"])
async def test_a_report_that_cannot_be_written_is_repeated_after_a_pause(
    world: FakedOperator, monkeypatch: pytest.MonkeyPatch, *, has_link: bool
) -> None:
    """An admission policy may refuse each one: attempts without a pause would occupy a worker and the API server."""
    person = ConsentingPerson(world)
    if has_link:
        await person.sees_link()
        world.clock.turn_to(person.consent.expires_at)
    monkeypatch.setattr(world.consents, "patch_status", AsyncMock(return_value=None))

    assert RETRY == await world.consent_reconciler.reconcile(person.key)
