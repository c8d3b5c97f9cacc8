"""The reconciler with fake ports: the writes for each situation, their order, and what is reported."""

from collections.abc import AsyncIterator
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.decision.memory import CONFIRM_AFTER
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.conditions import ConditionStatus, ConditionType
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    FenceClosed,
    NamespaceBeingDeleted,
    SecretWriteDenied,
    VaultUnavailable,
)
from support.builders import ACCOUNT, API_TOKEN_SPEC, KEY, TIMINGS, TOKEN_LOCATION, resource
from support.faked_operator import FIRST, FakedOperator, seeded_world

SECOND = "b" * 40


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a seeded world."""
    async for made in seeded_world():
        yield made


def api_token_spec(**changes: Any) -> dict[str, Any]:
    """Build a spec of an API token."""
    return API_TOKEN_SPEC | changes


async def test_a_first_publication_takes_two_writes_one_read_and_one_call(world: FakedOperator) -> None:
    """First the Secret, then the status; no call and no write is repeated."""
    world.cluster.apply(resource(API_TOKEN_SPEC))

    await world.settle()

    assert ["create secret acme", "patch status"] == world.cluster.writes
    assert [TOKEN_LOCATION] == world.vault.reads
    assert [FIRST] == world.pipedrive.identified
    assert (FIRST, "acme") == (world.value("api_token"), world.value("company_domain"))
    assert ("True", "Published") == world.condition(ConditionType.READY)
    assert ("True", "Accepted") == world.condition(ConditionType.AUTHORIZED)
    assert world.condition(ConditionType.STALLED) is None
    assert [] == world.cluster.events


async def test_a_pass_with_nothing_to_do_touches_nothing(world: FakedOperator) -> None:
    """No write, no read, no call."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    before = (list(world.cluster.writes), list(world.vault.reads), list(world.pipedrive.identified))

    await world.reconciler.reconcile(KEY)

    assert before == (world.cluster.writes, world.vault.reads, world.pipedrive.identified)


async def test_a_restart_reads_vault_once_and_writes_nothing(world: FakedOperator) -> None:
    """A token that the Secret holds and the status calls accepted needs no new verification."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    world.start()
    writes = list(world.cluster.writes)

    await world.settle()

    assert writes == world.cluster.writes
    assert 2 == len(world.vault.reads)
    assert [FIRST] == world.pipedrive.identified


async def test_a_restart_while_vault_is_sealed_changes_nothing_but_authorized(world: FakedOperator) -> None:
    """The Secret is as it was published, so Ready stays."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    world.start()
    world.vault.breaks = VaultUnavailable("Vault is sealed: run vault operator unseal")

    await world.settle()

    assert ("True", "Published") == world.condition(ConditionType.READY)
    assert ("Unknown", "VaultUnavailable") == world.condition(ConditionType.AUTHORIZED)


async def test_a_secret_edited_during_a_restart_with_vault_sealed_is_reported(world: FakedOperator) -> None:
    """Its digest does not match, and there is no value to repair it with."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    body = world.cluster.secrets[Key(namespace="crm", name="acme")]
    world.cluster.put_secret(body | {"data": body["data"] | {"api_token": "eA=="}})
    world.start()
    world.vault.breaks = VaultUnavailable("Vault is sealed")

    await world.settle()

    assert ("False", "VaultUnavailable") == world.condition(ConditionType.READY)


async def test_a_new_value_in_vault_replaces_the_old_one_once_accepted(world: FakedOperator) -> None:
    """The next poll finds it, Pipedrive accepts it, the Secret changes."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    world.vault.put(TOKEN_LOCATION, api_token=SECOND)
    world.pipedrive.accounts[SECOND] = ACCOUNT
    world.clock.turn(TIMINGS.poll_interval)

    await world.settle()

    assert SECOND == world.value("api_token")


async def test_a_rejected_new_value_does_not_replace_the_accepted_one(world: FakedOperator) -> None:
    """It is reported with an Event, and the old value stays published and ready."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    world.vault.put(TOKEN_LOCATION, api_token=SECOND)
    world.clock.turn(TIMINGS.poll_interval)

    await world.settle()
    world.clock.turn(CONFIRM_AFTER)
    await world.settle()

    assert FIRST == world.value("api_token")
    assert ("True", "Published") == world.condition(ConditionType.READY)
    assert ("False", "TokenRejected") == world.condition(ConditionType.AUTHORIZED)
    assert ("True", "TokenRejected") == world.condition(ConditionType.STALLED)
    assert ["TokenRejected"] == [event.reason for event in world.cluster.events]


async def test_a_revoked_api_token_is_found_at_the_next_verification(world: FakedOperator) -> None:
    """The published value itself is rejected: the Secret stays and is no longer ready."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    world.pipedrive.accounts.clear()
    world.clock.turn(TIMINGS.verify_interval)

    await world.settle()
    assert ("True", "Published") == world.condition(ConditionType.READY)
    world.clock.turn(CONFIRM_AFTER)
    await world.settle()

    assert FIRST == world.value("api_token")
    assert ("False", "TokenRejected") == world.condition(ConditionType.READY)


async def test_a_spell_of_401s_costs_a_minute_and_not_an_hour(world: FakedOperator) -> None:
    """Pipedrive refuses every token for some seconds. The operator asks again after a minute."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    accounts = dict(world.pipedrive.accounts)
    world.pipedrive.accounts.clear()
    world.clock.turn(TIMINGS.verify_interval)
    await world.settle()
    world.clock.turn(CONFIRM_AFTER)

    outcome = await world.settle()
    assert ("False", "TokenRejected") == world.condition(ConditionType.READY)
    assert world.clock.now() + timedelta(minutes=1) == outcome.until
    world.pipedrive.accounts |= accounts
    world.clock.turn(timedelta(minutes=1))
    await world.settle()

    assert ("True", "Published") == world.condition(ConditionType.READY)
    assert world.condition(ConditionType.STALLED) is None


async def test_one_spurious_401_changes_neither_ready_nor_stalled(world: FakedOperator) -> None:
    """The next answer, seconds later, is 200 again."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    accounts = dict(world.pipedrive.accounts)
    world.pipedrive.accounts.clear()
    world.clock.turn(TIMINGS.verify_interval)

    outcome = await world.settle()
    assert world.clock.now() + CONFIRM_AFTER == outcome.until
    assert ("True", "Published") == world.condition(ConditionType.READY)
    assert world.condition(ConditionType.STALLED) is None
    world.pipedrive.accounts |= accounts
    world.clock.turn(CONFIRM_AFTER)
    await world.settle()

    assert ("True", "Published") == world.condition(ConditionType.READY)
    assert ("True", "Accepted") == world.condition(ConditionType.AUTHORIZED)
    assert [] == [event for event in world.cluster.events if event.warning]


async def test_a_deleted_secret_comes_back_while_vault_is_sealed(world: FakedOperator) -> None:
    """A repair calls only the API server."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    world.vault.breaks = VaultUnavailable("Vault is sealed")
    world.cluster.delete_secret(Key(namespace="crm", name="acme"))

    await world.settle()

    assert FIRST == world.value("api_token")
    assert [FIRST] == world.pipedrive.identified


async def test_another_company_is_not_published(world: FakedOperator) -> None:
    """The token is valid, but belongs to another account."""
    world.pipedrive.accounts[FIRST] = replace(ACCOUNT, company_domain="other")
    world.cluster.apply(resource(API_TOKEN_SPEC))

    await world.settle()

    assert world.cluster.secret(KEY) is None
    assert ("False", "WrongAccount") == world.condition(ConditionType.READY)


async def test_a_renamed_company_is_a_message_and_no_outage(world: FakedOperator) -> None:
    """The company that was accepted under the guard's domain now has another one."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    world.pipedrive.accounts[FIRST] = replace(ACCOUNT, company_domain="acme-inc")
    world.clock.turn(TIMINGS.verify_interval)

    await world.settle()

    ready = read_credential(world.cluster.credentials[KEY]).status.condition(ConditionType.READY)
    assert ready is not None
    assert ConditionStatus.TRUE is ready.status
    assert "acme-inc" in ready.message
    assert "acme-inc" == world.value("company_domain")


async def test_a_corrected_guard_publishes_without_another_verification(world: FakedOperator) -> None:
    """Pipedrive's last answer still applies; only the guard has changed."""
    world.pipedrive.accounts[FIRST] = replace(ACCOUNT, company_domain="other")
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()

    world.cluster.apply(resource(api_token_spec(account={"companyDomain": "other"}), generation=2))
    await world.settle()

    assert FIRST == world.value("api_token")
    assert [FIRST] == world.pipedrive.identified


async def test_a_foreign_secret_is_left_alone_and_adopted_when_offered(world: FakedOperator) -> None:
    """A Secret that the watch does not show is found when its creation fails."""
    key = Key(namespace="crm", name="acme")
    metadata = {"namespace": "crm", "name": "acme"}
    world.cluster.put_secret({"metadata": metadata, "data": {"x": "eA=="}}, is_watched=False)
    world.cluster.apply(resource(API_TOKEN_SPEC))

    await world.settle()
    assert ("False", "SecretConflict") == world.condition(ConditionType.READY)
    assert world.value("api_token") is None

    offered = metadata | {"annotations": {"pipedrive-operator.io/adopt": "acme"}}
    world.cluster.put_secret({"metadata": offered, "data": {"x": "eA=="}}, is_watched=False)
    world.clock.turn(timedelta(minutes=1))
    await world.settle()
    assert FIRST == world.value("api_token")
    assert "eA==" == world.cluster.secrets[key]["data"]["x"]


async def test_a_secret_under_a_new_name_is_created_before_the_old_one_is_deleted(world: FakedOperator) -> None:
    """A Secret exists at any time."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    world.cluster.writes.clear()

    world.cluster.apply(resource(api_token_spec(target={"name": "later"}), generation=2))
    await world.settle()

    assert ["create secret later", "delete secret acme", "patch status"] == world.cluster.writes


async def test_a_deleted_copy_of_the_secret_is_announced(world: FakedOperator) -> None:
    """The person who copied it with its owner reference learns why it was deleted."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    copy = deepcopy(world.cluster.secrets[KEY])
    copy["metadata"] |= {"name": "copy", "uid": "uid-of-copy"}
    world.cluster.put_secret(copy)

    await world.reconciler.reconcile(KEY)

    assert [KEY] == list(world.cluster.secrets)
    (event,) = world.cluster.events
    assert ("OrphanDeleted", False) == (event.reason, event.warning)
    assert 'Deleted Secret "copy"' in event.message
    assert 'publishes only Secret "acme"' in event.message


async def test_a_forbidden_write_is_quoted(world: FakedOperator) -> None:
    """People read the words of the API server."""
    world.cluster.breaks = SecretWriteDenied("exceeded quota: secrets")
    world.cluster.apply(resource(API_TOKEN_SPEC))
    with pytest.raises(SecretWriteDenied):  # the fake breaks the status write too
        await world.reconcile()
    world.cluster.breaks = None

    outcome = await world.reconcile()

    assert "SecretWriteDenied" == outcome.reason
    assert ("False", "SecretWriteDenied") == world.condition(ConditionType.READY)


async def test_a_terminating_namespace_is_left_alone(world: FakedOperator) -> None:
    """Its Secret cannot be created, and nothing is reported."""
    world.cluster.breaks = NamespaceBeingDeleted("crm")
    world.cluster.apply(resource(API_TOKEN_SPEC))

    await world.reconcile()
    world.cluster.breaks = None
    await world.reconcile()

    assert ["create secret acme"] == world.cluster.writes


async def test_an_unavailable_api_server_ends_the_pass(world: FakedOperator) -> None:
    """The controller repeats it."""
    world.cluster.breaks = ApiServerUnavailable("connection refused")
    world.cluster.apply(resource(API_TOKEN_SPEC))

    with pytest.raises(ApiServerUnavailable):
        await world.reconcile()


async def test_a_suspended_credential_makes_no_calls(world: FakedOperator) -> None:
    """Neither Vault nor Pipedrive receives a request."""
    world.cluster.apply(resource(API_TOKEN_SPEC | {"suspend": True}))

    await world.settle()

    assert ([], []) == (world.vault.reads, world.pipedrive.identified)
    assert ["patch status"] == world.cluster.writes


async def test_a_deleted_credential_is_forgotten(world: FakedOperator) -> None:
    """No other pass is scheduled."""
    assert await world.reconciler.reconcile(KEY) is None


async def test_a_process_that_no_longer_leads_writes_nothing(world: FakedOperator) -> None:
    """It was stopped for longer than its Lease, and the new leader may have published something newer."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    world.leadership.seconds = 0

    with pytest.raises(FenceClosed):
        await world.reconciler.reconcile(KEY)

    assert [] == world.cluster.writes


async def test_a_spec_that_cannot_be_read_is_reported_and_its_secret_stays(world: FakedOperator) -> None:
    """An older CRD accepted the resource; a person must correct it, and nothing else is called."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    calls = (len(world.vault.reads), len(world.pipedrive.identified))

    world.cluster.apply(resource({"apiToken": {"path": "//"}}, generation=2))
    outcome = await world.settle()

    assert ("InvalidSpec", True, False) == (outcome.reason, outcome.stalled, outcome.ready)
    assert ("False", "InvalidSpec") == world.condition(ConditionType.READY)
    assert ("True", "InvalidSpec") == world.condition(ConditionType.STALLED)
    assert ["InvalidSpec"] == [event.reason for event in world.cluster.events]
    assert FIRST == world.value("api_token")
    assert calls == (len(world.vault.reads), len(world.pipedrive.identified))


async def test_an_unreadable_credential_that_is_being_deleted_is_left_alone(world: FakedOperator) -> None:
    """Nothing is reported about it any more."""
    world.cluster.apply(resource({}, deletionTimestamp="2026-03-04T12:00:00Z"))

    outcome = await world.reconciler.reconcile(KEY)

    assert outcome is not None
    assert outcome.reason is None
    assert [] == world.cluster.writes
