"""What was read, refused or answered before must not decide about what is there now."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fakes.escrow import build_escrow
from pipedrive_operator.core.grant.candidate import with_candidate
from pipedrive_operator.core.grant.document import Document
from pipedrive_operator.core.grant.grant import Grant, half_refreshed_grant, write_grant
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import (
    PipedriveUnavailable,
    RateLimited,
    SourceMissing,
    TokenRejected,
    VaultDenied,
    VaultUnavailable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import GRANT_LOCATION, GRANT_SOURCE, access_token
from support.exchanges import ConsentSurroundings
from support.refresh import ORDER, Surroundings

CLIENT_SECRET = SecretValue("hush")


async def test_a_consent_that_is_found_after_the_escrow_was_read_is_used(around: Surroundings) -> None:
    """A standby of Vault lagged behind when the refusal arrived."""
    around.pipedrive.alive = {"consented"}
    task = await around.begin()

    def consent(_: float) -> None:
        around.vault.put(GRANT_LOCATION, refresh_token="consented")

    around.cluster.lists_escrow = consent  # type: ignore[method-assign,assignment]
    around.pipedrive.answer()

    await around.in_time(task)

    assert ["seed", "consented"] == around.pipedrive.sent


async def test_the_person_is_asked_for_the_grant_if_somebody_has_deleted_the_document_meanwhile(
    around: Surroundings,
) -> None:
    """Nothing is written where there is no document any more, although there is a copy in escrow."""
    await around.escrow.keep(GRANT_LOCATION, Grant(refresh_token=SecretValue("newest")), "us-0", CLIENT_SECRET)
    around.pipedrive.alive = {"newest"}
    task = await around.begin()

    def delete(_: float) -> None:
        around.vault.documents.pop(GRANT_LOCATION, None)

    around.cluster.lists_escrow = delete  # type: ignore[method-assign,assignment]
    around.pipedrive.answer()

    with pytest.raises(SourceMissing):
        await around.in_time(task)

    assert around.cluster.escrow


async def test_a_refusal_is_remembered_although_vault_fails_after_it(around: Surroundings) -> None:
    """The next attempt looks into the escrow before it sends the same token."""
    around.pipedrive.alive = {"newest"}
    await build_escrow(around.cluster).keep(GRANT_LOCATION, _refreshed("newest"), "them-1", CLIENT_SECRET)
    task = await around.begin()
    around.vault.breaks = VaultUnavailable("sealed")
    around.pipedrive.answer()
    with pytest.raises(VaultUnavailable):
        await task

    around.vault.breaks = None
    await around.in_time(around.run())

    assert ["seed", "newest"] == around.pipedrive.sent


async def test_a_copy_is_not_dropped_by_a_grant_that_was_read_before_vault_was_restored(around: Surroundings) -> None:
    """This process was stopped between the read and the list of copies."""
    newest = _refreshed("newest")
    around.vault.put(GRANT_LOCATION, **write_grant(newest, {}))
    await around.escrow.keep(GRANT_LOCATION, newest, "us-0", CLIENT_SECRET)
    around.pipedrive.alive = {"newest"}
    _after_the_next_read(around, lambda: around.vault.put(GRANT_LOCATION, refresh_token="seed"))

    await around.in_time(around.run())

    assert newest.lineage == around.stored.refreshed_from


async def test_a_withdrawn_intent_puts_back_the_grant_that_a_lost_acknowledgement_has_hidden(
    around: Surroundings,
) -> None:
    """A holder that was stopped has stored its access token beside our intent; the refresh token stays the same."""
    around.pipedrive.rotates = False
    old = Grant(refresh_token=SecretValue("seed"), token=access_token("old", lifetime=timedelta(seconds=1)))
    around.vault.put(GRANT_LOCATION, **write_grant(old, {}))
    around.clock.turn(timedelta(seconds=2))
    late = access_token("late")
    around.vault.breaks_after, around.vault.mends_after = len(around.vault.writes), len(around.vault.writes) + 1
    around.vault.loses_acknowledgements = True
    around.vault.on_loss = lambda: around.vault.put(
        GRANT_LOCATION, **write_grant(replace(around.stored, token=late), {})
    )
    around.pipedrive.breaks = RateLimited("429")

    with pytest.raises(RateLimited):
        await around.in_time(around.run())

    assert late.value.digest() == around.stored.access_digest


async def test_an_intent_is_not_taken_over_while_this_process_stores_its_result(around: Surroundings) -> None:
    """The document has two locations, and one connection cannot write any more."""
    alias = replace(GRANT_LOCATION, connection="second")
    around.vault.aliases[alias] = GRANT_LOCATION
    task = await around.begin()
    write = around.vault.write

    async def deny(location: Any, *arguments: Any, **options: Any) -> int:
        if location == GRANT_LOCATION:
            raise VaultDenied("the role may not write any more")
        return await write(location, *arguments, **options)

    around.vault.write = deny  # type: ignore[method-assign]
    around.pipedrive.answer()
    order = replace(ORDER, source=replace(GRANT_SOURCE, location=alias))
    second = asyncio.create_task(around.protocol.run(order, around.states.append))
    with pytest.raises(TimeoutError):
        await around.in_time(asyncio.shield(second))

    assert ["seed"] == around.pipedrive.sent

    around.vault.write = write  # type: ignore[method-assign]
    await around.in_time(task)
    await around.in_time(second)


async def test_an_intent_to_renew_a_candidate_is_not_written_over_a_consent_with_the_same_version_number(
    consent: ConsentSurroundings,
) -> None:
    """Pipedrive took long to reject its access token, and Vault was restored meanwhile."""
    await consent.die_with_a_candidate()

    def restore() -> None:
        _consent_with_the_same_number(consent)
        consent.clock.turn(timedelta(seconds=12))

    _reject_the_next_access_token(consent, restore)

    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert {"refresh_token": "consented"} == consent.values


async def test_nothing_is_written_over_a_consent_that_another_part_of_the_process_has_read_since(
    consent: ConsentSurroundings,
) -> None:
    """Vault was restored a moment ago, and the consent has the same version number."""
    await consent.die_with_a_candidate()

    def restore() -> None:
        consent.protocol.parts.documents.note(GRANT_LOCATION, _consent_with_the_same_number(consent))

    _reject_the_next_access_token(consent, restore)

    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert {"refresh_token": "consented"} == consent.values


async def test_a_code_is_not_sent_over_a_consent_with_the_same_version_number(consent: ConsentSurroundings) -> None:
    """This process was stopped between its read and its intent, and Vault was restored meanwhile."""

    def restore() -> None:
        _consent_with_the_same_number(consent)
        consent.clock.turn(timedelta(seconds=12))

    _after_the_next_read(consent, restore)
    claimed_over = []

    async def claim() -> bool:
        claimed_over.append(consent.values["refresh_token"])
        return False

    await consent.in_time(consent.exchange.run(consent.order(), claim))

    assert (["consented"], {"refresh_token": "consented"}) == (claimed_over, consent.values)


async def test_a_grant_is_not_sent_if_the_candidate_beside_it_is_its_successor(consent: ConsentSurroundings) -> None:
    """Pipedrive cannot say whose the candidate is, and the grant is due."""
    await consent.die_with_a_candidate()
    candidate = consent.held
    await consent.protocol.parts.candidates.settle(GRANT_SOURCE)
    successor = replace(candidate, refresh_token=SecretValue("successor"), refreshed_from=candidate.lineage)
    usable = replace(successor, token=access_token(lifetime=timedelta(hours=9)))
    consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, usable))
    consent.clock.turn(timedelta(hours=2))
    consent.pipedrive.identify_access_token = _away  # type: ignore[method-assign,assignment]

    with pytest.raises(PipedriveUnavailable):
        await consent.in_time(consent.run())

    assert ["code-1"] == consent.pipedrive.sent


async def test_a_grant_that_was_found_promoted_is_verified_again_if_vault_was_restored(
    consent: ConsentSurroundings,
) -> None:
    """Vault holds the candidate then, as before its promotion."""
    order = await consent.die_with_a_candidate()
    backup, other = consent.values, replace(consent.held, refresh_token=SecretValue("other"))
    await consent.protocol.parts.candidates.settle(GRANT_SOURCE)
    intent = {"refresh_id": "them-1", "refresh_holder": "them", "refresh_timeout": "30s"}
    consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, other) | intent)
    task = asyncio.create_task(consent.exchange.conclude(order))
    await consent.clock.next_sleep()
    consent.vault.put(GRANT_LOCATION, **backup)

    await consent.in_time(task)

    assert order.exchange == consent.stored.exchange


async def test_a_late_access_token_is_not_taken_for_the_one_that_was_just_issued(consent: ConsentSurroundings) -> None:
    """The refresh token stays the same. A holder that was stopped for hours stores its result after our renewal."""
    consent.pipedrive.rotates = False
    order = await consent.die_with_a_candidate()
    candidate = consent.held
    consent.clock.turn(timedelta(hours=9))
    late = replace(
        candidate, refreshed_from=candidate.lineage, token=access_token("late", lifetime=timedelta(hours=-1))
    )
    identify = consent.pipedrive.identify_access_token

    async def identify_once(token: Token) -> Account:
        consent.pipedrive.identify_access_token = identify  # type: ignore[method-assign]
        account = await identify(token)
        consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, late))
        return account

    consent.pipedrive.identify_access_token = identify_once  # type: ignore[method-assign]

    assert (await consent.in_time(consent.exchange.conclude(order))).reason is ConsentReason.CONNECTED


async def test_a_refused_candidate_is_replaced_by_the_successor_that_was_kept_meanwhile(
    consent: ConsentSurroundings,
) -> None:
    """The holder that spent it goes on while Pipedrive looks at our request."""
    order = await consent.die_with_a_candidate()
    candidate = consent.held
    consent.clock.turn(timedelta(hours=9))
    successor = replace(candidate, refresh_token=SecretValue("successor"), refreshed_from=candidate.lineage, token=None)
    consent.pipedrive.alive = {"successor", "seed"}
    consent.pipedrive.gate = asyncio.Event()
    task = asyncio.create_task(consent.in_time(consent.exchange.conclude(order)))
    while not consent.pipedrive.waits:  # noqa: ASYNC110  a turn of the loop, not a time
        await asyncio.sleep(0)
    await build_escrow(consent.cluster).keep(GRANT_LOCATION, successor, "them-1", CLIENT_SECRET)
    consent.pipedrive.answer()

    assert (await task).reason is ConsentReason.CONNECTED


async def test_a_grant_that_was_found_promoted_counts_as_connected_beside_the_next_candidate(
    consent: ConsentSurroundings,
) -> None:
    """Another consent was prepared over it, and Pipedrive does not decide about that one."""
    order = await consent.die_with_a_candidate()
    await consent.protocol.parts.candidates.settle(GRANT_SOURCE)
    other = replace(consent.stored, refresh_token=SecretValue("other"), terms=consent.terms_of_another())
    consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, other))
    consent.pipedrive.identify_access_token = _away  # type: ignore[method-assign,assignment]

    found = await consent.in_time(consent.exchange.conclude(order))

    assert (ConsentReason.CONNECTED, SecretValue("other")) == (found.reason, consent.held.refresh_token)


async def test_the_renewals_of_a_candidate_that_nobody_has_answered_are_named_after_an_attempt_that_sent_nothing(
    consent: ConsentSurroundings,
) -> None:
    """The holder of the first renewal has died, and ours could not be sent: its intent is gone then."""
    await consent.die_with_a_candidate()
    consent.clock.turn(timedelta(hours=9))
    candidate = consent.held
    assert candidate.terms is not None
    dead = {"refresh_id": "them-1", "refresh_holder": "them", "refresh_timeout": "30s"}
    consent.vault.put(GRANT_LOCATION, **(consent.values | dead | {"refresh_consent": candidate.terms.consent}))
    consent.pipedrive.breaks = PipedriveUnavailable("nothing was sent")
    with pytest.raises(PipedriveUnavailable):
        await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))
    consent.pipedrive.breaks = None
    valid = consent.held
    consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, replace(valid, token=candidate.token)))
    consent.clock.turn(timedelta(hours=-9))

    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert consent.stored.unanswered is not None
    assert "them" == consent.stored.unanswered.by


def _consent_with_the_same_number(consent: ConsentSurroundings) -> Document:
    """Restore Vault and consent by hand, so that the document gets the number of the version that it replaces."""
    restored = replace(consent.vault.documents[GRANT_LOCATION], values={"refresh_token": "consented"})
    consent.vault.documents[GRANT_LOCATION] = restored
    return restored


def _refreshed(name: str, former: Grant | None = None) -> Grant:
    """Return the successor of a grant, by default of the one that Vault holds at first."""
    spent = former or Grant(refresh_token=SecretValue("seed"))
    return half_refreshed_grant(spent, SecretValue(name))


async def _away(_: Token) -> Account:
    raise PipedriveUnavailable("503")


def _after_the_next_read(around: Surroundings, happens: Callable[[], object]) -> None:
    """Let something happen right after the next read of the grant, for which this process is stopped for a while."""
    read = around.vault.read

    async def read_once(location: Any, identity: Any) -> Document | None:
        document = await read(location, identity)
        if location == GRANT_LOCATION:
            around.vault.read = read  # type: ignore[method-assign]
            around.clock.turn(timedelta(seconds=2))
            happens()
        return document

    around.vault.read = read_once  # type: ignore[method-assign]


def _reject_the_next_access_token(consent: ConsentSurroundings, happens: Callable[[], object]) -> None:
    identify = consent.pipedrive.identify_access_token

    async def reject_once(_: Token) -> Account:
        consent.pipedrive.identify_access_token = identify  # type: ignore[method-assign]
        happens()
        raise TokenRejected("401")

    consent.pipedrive.identify_access_token = reject_once  # type: ignore[method-assign,assignment]
