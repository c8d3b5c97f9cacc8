"""The reconciler with fake ports, for OAuth2 grants: refresh, publication and sharing."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.errors import ClientRejected, PipedriveUnavailable
from support.builders import ACCOUNT, GRANT_LOCATION, KEY, OAUTH2_SPEC, TIMINGS, resource
from support.faked_operator import REFRESH, FakedOperator, seeded_world

OTHER_COMPANY = Account(company_id=99, company_domain="other", user_id=7)


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a seeded world."""
    async for made in seeded_world():
        yield made


async def test_a_seeded_grant_is_refreshed_verified_and_published(world: FakedOperator) -> None:
    """The grant is stored in Vault, with foreign keys, before the Secret is written."""
    world.cluster.apply(resource(OAUTH2_SPEC))

    await world.settle()

    stored = world.vault.documents[GRANT_LOCATION].values
    assert ("refresh-1", "access-1", "ours to keep") == (
        stored["refresh_token"],
        stored["access_token"],
        stored["note"],
    )
    assert "access-1" == world.value("access_token")
    assert ["access-1"] == world.pipedrive.identified
    assert ("True", "Published") == world.condition(ConditionType.READY)
    assert world.value("refresh_token") is None


async def test_a_refresh_costs_two_writes_and_no_verification(world: FakedOperator) -> None:
    """The successor of an accepted token belongs to the same account."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    outcome = await world.settle()
    assert outcome.renewal_at is not None
    world.cluster.writes.clear()
    world.clock.turn_to(outcome.renewal_at)

    await world.settle()

    assert "access-2" == world.value("access_token")
    assert ["patch secret acme", "patch status"] == world.cluster.writes
    assert ["access-1"] == world.pipedrive.identified
    assert ["seed", "refresh-1"] == world.pipedrive.spent
    assert [] == world.cluster.events


async def test_an_expiry_with_a_fraction_of_a_second_is_reported_once(world: FakedOperator) -> None:
    """The status keeps whole seconds. Another tool has written the grant."""
    world.pipedrive.accounts["access-x"] = ACCOUNT
    expires_at = (world.clock.now() + timedelta(minutes=50)).replace(microsecond=123456).isoformat()
    world.vault.put(
        GRANT_LOCATION,
        refresh_token="seed",
        access_token="access-x",
        expires_at=expires_at,
        api_domain="https://acme.pipedrive.com",
    )
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    world.cluster.writes.clear()

    world.clock.turn(TIMINGS.poll_interval)
    await world.settle()

    assert [] == world.cluster.writes


async def test_an_access_token_revoked_early_is_refreshed_once(world: FakedOperator) -> None:
    """A 401 before expiry leads to one refresh, and its result is verified."""
    world.cluster.apply(resource(OAUTH2_SPEC | {"oauth2": OAUTH2_SPEC["oauth2"] | {"renewBefore": "10s"}}))
    await world.settle()
    del world.pipedrive.accounts["access-1"]
    world.clock.turn(timedelta(minutes=59))

    await world.settle()

    assert "access-2" == world.value("access_token")
    assert ["access-1", "access-1", "access-2"] == world.pipedrive.identified


async def test_a_requested_refresh_is_done_once(world: FakedOperator) -> None:
    """The status records that the annotation was handled."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()

    world.cluster.apply(resource(OAUTH2_SPEC, annotations=REFRESH))
    await world.settle()
    await world.settle()

    assert ["seed", "refresh-1"] == world.pipedrive.spent
    assert "now" == read_credential(world.cluster.credentials[KEY]).status.last_handled_request


async def test_an_outage_is_reported_once_despite_many_retries(world: FakedOperator) -> None:
    """A refresh in progress does not withdraw the report of the last one."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    world.pipedrive.breaks = PipedriveUnavailable("HTTP 503")
    await world.settle()
    written = list(world.cluster.writes)
    assert ("Unknown", "PipedriveUnavailable") == world.condition(ConditionType.AUTHORIZED)

    for _ in range(3):
        world.clock.turn(timedelta(minutes=6))
        await world.settle()

    assert written == world.cluster.writes


async def test_a_grant_of_another_company_is_not_published_until_a_person_allows_it(world: FakedOperator) -> None:
    """Without a guard too: the first accepted company is pinned, also across a restart."""
    unguarded = {"oauth2": OAUTH2_SPEC["oauth2"]}
    world.cluster.apply(resource(unguarded))
    await world.settle()
    world.pipedrive.company = OTHER_COMPANY
    world.vault.put(GRANT_LOCATION, refresh_token=world.pipedrive.consent())
    world.start()
    world.clock.turn(timedelta(minutes=59))

    await world.settle()

    assert "access-1" == world.value("access_token")
    assert ("False", "WrongAccount") == world.condition(ConditionType.AUTHORIZED)
    message = world.message(ConditionType.AUTHORIZED)
    assert all(part in message for part in ("other (id 99)", "acme (id 12)", "set spec.account.companyId to 99"))

    world.cluster.apply(resource(unguarded | {"account": {"companyId": 99}}, generation=2))
    await world.settle()
    world.cluster.apply(resource(unguarded, generation=3))
    await world.settle()

    assert "access-3" == world.value("access_token")
    assert ("True", "Published") == world.condition(ConditionType.READY)


async def test_a_grant_of_another_company_stays_reported_while_it_is_refreshed(world: FakedOperator) -> None:
    """Each renewal would otherwise announce that its token is accepted, and then that it is not."""
    await _report_a_grant_of_another_company(world)
    world.pipedrive.company = OTHER_COMPANY
    world.cluster.events.clear()
    world.clock.turn(timedelta(minutes=45))

    outcome = await world.reconciler.reconcile(KEY)

    assert outcome is not None
    assert "refresh" in outcome.actions
    assert ("False", "WrongAccount") == world.condition(ConditionType.AUTHORIZED)
    await world.settle()
    assert ("False", "WrongAccount") == world.condition(ConditionType.AUTHORIZED)
    assert [] == world.cluster.events


async def test_a_removed_grant_of_another_company_is_not_reported_again(world: FakedOperator) -> None:
    """A person has deleted it, and has written a new refresh token alone, which is tried first."""
    await _report_a_grant_of_another_company(world)
    del world.vault.documents[GRANT_LOCATION]
    for _ in range(2):  # a standby may lag
        world.clock.turn(TIMINGS.poll_interval)
        await world.settle()
    assert ("False", "GrantMissing") == world.condition(ConditionType.AUTHORIZED)
    world.cluster.events.clear()
    world.vault.put(GRANT_LOCATION, refresh_token=world.pipedrive.consent())
    world.clock.turn(TIMINGS.poll_interval)

    await world.reconciler.reconcile(KEY)

    assert "WrongAccount" not in str(world.cluster.events)
    assert ("Unknown", "Pending") == world.condition(ConditionType.AUTHORIZED)


async def test_a_token_that_is_not_verified_is_not_accepted_for_the_company_of_a_former_one(
    world: FakedOperator,
) -> None:
    """A person has corrected the grant, and requests a refresh at the same time."""
    await _report_a_grant_of_another_company(world)
    right = {"access_token": "access-x", "expires_in": 3600, "api_domain": "https://acme.pipedrive.com"}
    world.pipedrive.accounts["access-x"] = ACCOUNT
    world.vault.put(GRANT_LOCATION, refresh_token=world.pipedrive.consent(), **right)
    world.cluster.apply(resource({"oauth2": OAUTH2_SPEC["oauth2"]}, annotations=REFRESH))

    await world.reconciler.reconcile(KEY)

    assert ("Unknown", "Pending") == world.condition(ConditionType.AUTHORIZED)


async def _report_a_grant_of_another_company(world: FakedOperator) -> None:
    world.cluster.apply(resource({"oauth2": OAUTH2_SPEC["oauth2"]}))
    await world.settle()
    world.pipedrive.company = OTHER_COMPANY
    world.vault.put(GRANT_LOCATION, refresh_token=world.pipedrive.consent())
    world.clock.turn(TIMINGS.poll_interval)
    await world.settle()
    assert ("False", "WrongAccount") == world.condition(ConditionType.AUTHORIZED)
    world.pipedrive.company = ACCOUNT


async def test_a_missing_scope_stays_reported_while_a_new_refresh_token_is_tried(world: FakedOperator) -> None:
    """A person has replaced the refresh token alone: the published token, which lacks the scope, is the newest one."""
    world.cluster.apply(resource({"oauth2": OAUTH2_SPEC["oauth2"] | {"requiredScopes": ["contacts:full"]}}))
    await world.settle()
    world.cluster.events.clear()
    world.vault.put(GRANT_LOCATION, refresh_token=world.pipedrive.consent())
    world.clock.turn(TIMINGS.poll_interval)

    await world.reconciler.reconcile(KEY)

    conditions = [world.condition(kind) for kind in (ConditionType.READY, ConditionType.STALLED)]
    assert [("False", "ScopeMissing"), ("True", "ScopeMissing")] == conditions
    await world.settle()
    assert [] == world.cluster.events


async def test_a_refused_grant_is_tried_slowly_and_reported_once(world: FakedOperator) -> None:
    """Pipedrive is asked every hour, and nothing is reported while its answer is the same."""
    world.pipedrive.alive.clear()
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    written = list(world.cluster.writes)

    for _ in range(3):
        world.clock.turn(timedelta(hours=1, minutes=1))
        await world.settle()

    assert ("True", "ConsentRequired") == world.condition(ConditionType.STALLED)
    assert (written, 4) == (world.cluster.writes, len(world.pipedrive.sent))


async def test_a_requested_refresh_does_not_wait_for_the_slow_retry(world: FakedOperator) -> None:
    """The app was corrected at Pipedrive, and a person knows it."""
    world.pipedrive.breaks = ClientRejected("invalid_client")
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    world.pipedrive.breaks = None

    world.cluster.apply(resource(OAUTH2_SPEC, annotations=REFRESH))
    await world.settle()

    assert ("True", "Published") == world.condition(ConditionType.READY)


async def test_two_credentials_share_a_grant_and_one_refresh(world: FakedOperator) -> None:
    """Both Secrets get the result of one refresh."""
    other = Key(namespace="crm", name="other")
    world.cluster.apply(resource(OAUTH2_SPEC))
    world.cluster.apply(resource(OAUTH2_SPEC, name="other"))

    await world.settle()
    await world.settle(other)

    assert ["seed"] == world.pipedrive.spent
    assert ("access-1", "access-1") == (world.value("access_token"), world.value("access_token", "other"))


async def test_a_second_client_on_a_grant_is_refused(world: FakedOperator) -> None:
    """The older credential decides which client the grant has."""
    world.cluster.apply(resource(OAUTH2_SPEC, name="older", creationTimestamp="2026-02-01T00:00:00Z"))
    another = {"client": {"path": "pipedrive/crm/client"}, "grant": {"path": GRANT_LOCATION.path}}
    world.cluster.apply(resource(OAUTH2_SPEC | {"oauth2": another}))

    await world.settle()

    assert ("False", "InvalidSpec") == world.condition(ConditionType.READY)


async def test_a_grant_that_vault_does_not_store_is_announced_once(world: FakedOperator) -> None:
    """An Event announces it, and another one that Vault has stored it. The old value stays published until then."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    world.clock.turn(timedelta(minutes=59))
    world.vault.breaks_after = len(world.vault.writes) + 1  # it still takes the intent

    for _ in range(3):
        await world.reconciler.reconcile(KEY)
        await world.clock.somebody_sleeps.wait()
    reasons, ready = [event.reason for event in world.cluster.events], world.condition(ConditionType.READY)
    world.vault.breaks_after = None
    world.clock.turn(timedelta(seconds=10))
    await world.settle()

    assert (["GrantEscrowed"], ("True", "Published")) == (reasons, ready)
    assert ["GrantEscrowed", "Accepted"] == [event.reason for event in world.cluster.events]
    assert "access-2" == world.value("access_token")


async def test_a_standby_of_vault_that_lags_behind_takes_no_token_back(world: FakedOperator) -> None:
    """After a refresh, a read may still return the version from before; the Secret's expiry never moves backwards."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    outdated = world.vault.documents[GRANT_LOCATION]
    world.clock.turn(timedelta(minutes=10))
    refresh = {"pipedrive-operator.io/requested-at": "1", "pipedrive-operator.io/request": "refresh"}
    world.cluster.apply(resource(OAUTH2_SPEC, annotations=refresh))
    await world.settle()
    newest = world.vault.documents[GRANT_LOCATION]
    expires_at = world.value("expires_at")
    assert "access-2" == world.value("access_token")

    world.vault.documents[GRANT_LOCATION] = outdated
    world.clock.turn(timedelta(minutes=5))
    await world.settle()
    assert ("access-2", expires_at) == (world.value("access_token"), world.value("expires_at"))

    world.vault.documents[GRANT_LOCATION] = newest
    world.clock.turn(timedelta(minutes=5))
    await world.settle()
    assert ("access-2", expires_at) == (world.value("access_token"), world.value("expires_at"))
    assert ["seed", "refresh-1"] == world.pipedrive.spent


async def test_a_standby_of_vault_that_does_not_know_the_grant_yet_asks_for_no_consent(world: FakedOperator) -> None:
    """A grant that was deleted is reported as missing ten seconds after it was missed."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    held = world.vault.documents.pop(GRANT_LOCATION)
    world.clock.turn(timedelta(minutes=5))

    missed = await world.settle()
    assert ("Unknown", "VaultUnavailable") == world.condition(ConditionType.AUTHORIZED)
    assert world.clock.now() + timedelta(seconds=10) == missed.until

    world.vault.documents[GRANT_LOCATION] = held
    world.clock.turn(timedelta(seconds=10))
    await world.settle()
    assert ("True", "Accepted") == world.condition(ConditionType.AUTHORIZED)

    del world.vault.documents[GRANT_LOCATION]
    world.clock.turn(timedelta(minutes=5))
    await world.settle()
    world.clock.turn(timedelta(seconds=10))
    await world.settle()
    assert ("False", "GrantMissing") == world.condition(ConditionType.AUTHORIZED)
    assert ("True", "Published") == world.condition(ConditionType.READY)
