"""Consents whose account Pipedrive does not state: they neither wait for each other nor ask too often."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.consent import Consent, ConsentStatus
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    PipedriveUnavailable,
    RateLimited,
    ReportDenied,
    Trouble,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.grants.values import Exchanged, ExchangeOrder
from pipedrive_operator.reconcile.answers import LONGEST_RETRY, RETRY
from support.builders import ACCOUNT, GRANT_LOCATION, KEY, resource
from support.consenting import CONSENT, UNGUARDED, ConsentingPerson, unconnected_world
from support.exchanges import OTHER_COMPANY
from support.faked_operator import FakedOperator
from support.refresh import in_time


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Return a world with a credential whose grant is missing."""
    async for made in unconnected_world():
        yield made


async def test_a_newer_answer_is_exchanged_although_the_one_before_is_not_verified(world: FakedOperator) -> None:
    """The person accepted for a company about which Pipedrive says nothing, and opened the link again."""
    identify = world.pipedrive.identify_access_token
    _refuse_to_identify(world, RateLimited("429"))
    person = ConsentingPerson(world)
    assert ConsentReason.VERIFYING is await person.accepts()
    code = world.pipedrive.accept()
    world.consents.answer(CONSENT, code, person.state)

    async def identify_newer(token: Token) -> Account:
        if code.reveal() not in world.pipedrive.sent:
            raise RateLimited("429")
        return await identify(token)

    world.pipedrive.identify_access_token = identify_newer  # type: ignore[method-assign]
    await in_time(world.clock, world.settle_consent(CONSENT))

    assert (ConsentReason.CONNECTED, code.reveal()) == (person.reason, world.pipedrive.sent[-1])


async def test_the_account_of_an_older_answer_is_reported_although_the_newer_code_is_refused(
    world: FakedOperator,
) -> None:
    """Pipedrive decides about the older answer once the newer one has come."""
    identify = world.pipedrive.identify_access_token
    _refuse_to_identify(world, RateLimited("429"))
    await world.settle()
    person = ConsentingPerson(world)
    await person.accepts()
    world.woken.clear()
    world.pipedrive.identify_access_token = identify  # type: ignore[method-assign]
    world.consents.answer(CONSENT, SecretValue("refused"), person.state)

    await in_time(world.clock, world.settle_consent(CONSENT))

    assert (ConsentReason.CONNECTED, [KEY]) == (person.reason, world.woken)


async def test_a_doubt_about_a_newer_answer_is_examined_again_after_the_older_one(world: FakedOperator) -> None:
    """It takes a while to find out that nothing is left of the older one; the newer result is stored meanwhile."""
    _refuse_to_identify(world, RateLimited("429"))
    person = ConsentingPerson(world)
    await person.accepts()
    world.pipedrive.network.loses_answers = 1.0
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)
    uid, generation = person.consent.uid, person.consent.generation
    conclude, asked = world.keeper.conclude, []

    async def store_meanwhile(order: ExchangeOrder) -> Exchanged:
        asked.append(order.consent_generation)
        if order.consent_generation == generation:
            return await conclude(order)
        exchange = {"consent_uid": uid, "consent_generation": generation}
        world.vault.put(GRANT_LOCATION, refresh_token="refresh-4", **exchange)
        return Exchanged(reason=ConsentReason.UNCERTAIN, message="nothing is left of it")

    world.keeper.conclude = store_meanwhile  # type: ignore[method-assign]
    await in_time(world.clock, world.settle_consent(CONSENT))

    assert [generation - 1, generation] == asked
    assert ConsentReason.CONNECTED is person.reason


async def test_a_connected_account_is_reported_although_a_newer_answer_came_before_the_report(
    world: FakedOperator,
) -> None:
    """The API server was away. The newer code would be refused."""
    identify = world.pipedrive.identify_access_token
    _refuse_to_identify(world, PipedriveUnavailable("503"))
    person = ConsentingPerson(world)
    await person.accepts()
    world.pipedrive.identify_access_token = identify  # type: ignore[method-assign]
    world.clock.turn(LONGEST_RETRY)
    world.cluster.breaks = ApiServerUnavailable("no answer")
    with pytest.raises(ApiServerUnavailable):
        await world.settle_consent(CONSENT)
    world.cluster.breaks = None
    world.consents.answer(CONSENT, SecretValue("refused"), person.state)

    await in_time(world.clock, world.settle_consent(CONSENT))

    assert (ConsentReason.CONNECTED, ["code-1"]) == (person.reason, world.pipedrive.sent)


async def test_pipedrive_is_not_asked_before_its_pause_although_the_status_is_denied(world: FakedOperator) -> None:
    """A webhook denies it."""
    asked = _refuse_to_identify(world, RateLimited("429", retry_after=timedelta(minutes=10)))
    person = ConsentingPerson(world)
    await person.sees_link()
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)
    patch = world.consents.patch_status

    async def deny(consent: Consent, status: ConsentStatus) -> Consent | None:
        if asked:
            raise ReportDenied("denied")
        return await patch(consent, status)

    world.consents.patch_status = deny  # type: ignore[method-assign]
    with pytest.raises(ReportDenied):
        await world.settle_consent(CONSENT)

    assert timedelta(minutes=10) == await world.settle_consent(CONSENT)
    assert 1 == len(asked)


async def test_another_company_is_reported_although_a_refresh_has_dropped_its_candidate(world: FakedOperator) -> None:
    """The credential had its turn before the consent, whose pause was not over."""
    world.cluster.apply(resource(UNGUARDED | {"account": {"companyId": ACCOUNT.company_id}}))
    identify = world.pipedrive.identify_access_token
    _refuse_to_identify(world, RateLimited("429"))
    person = ConsentingPerson(world)
    assert ConsentReason.VERIFYING is await person.accepts(OTHER_COMPANY)
    world.pipedrive.identify_access_token = identify  # type: ignore[method-assign]
    await world.reconcile(KEY)
    await world.keeper.drain()
    world.clock.turn(timedelta(minutes=1))

    await in_time(world.clock, world.settle_consent(CONSENT))

    assert ConsentReason.WRONG_ACCOUNT is person.reason
    assert ["code-1"] == world.pipedrive.sent


async def test_an_answer_that_was_forged_ends_no_verification(world: FakedOperator) -> None:
    """Its state is not that of the link."""
    _refuse_to_identify(world, RateLimited("429"))
    person = ConsentingPerson(world)
    await person.accepts()
    world.consents.answer(CONSENT, world.pipedrive.accept(), SecretValue(f"crm:acme-x1:{'x' * 43}"))

    await world.settle_consent(CONSENT)

    assert (ConsentReason.VERIFYING, ["code-1"]) == (person.reason, world.pipedrive.sent)


async def test_pipedrive_is_not_asked_again_before_the_pause_that_it_asks_for(world: FakedOperator) -> None:
    """An event about the consent, such as that of our own report, changes nothing."""
    asked = _refuse_to_identify(world, RateLimited("429", retry_after=timedelta(minutes=10)))
    person = ConsentingPerson(world)
    await person.accepts()

    world.clock.turn(timedelta(minutes=9))

    assert timedelta(minutes=1) == await world.settle_consent(CONSENT)
    assert 1 == len(asked)


async def test_the_pauses_grow_up_to_a_minute(world: FakedOperator) -> None:
    """A person waits, so they do not grow longer."""
    _refuse_to_identify(world, PipedriveUnavailable("503"))
    person = ConsentingPerson(world)
    await person.accepts()

    pauses = [await _pause(world) for _ in range(12)]

    assert pauses == sorted(pauses)
    assert RETRY == pauses[0]
    assert LONGEST_RETRY * 0.8 < pauses[-1] <= LONGEST_RETRY


async def test_a_code_that_cannot_be_claimed_is_tried_again_after_a_pause(world: FakedOperator) -> None:
    """The watch lags behind what another process has written, or a webhook denies the status."""
    person = ConsentingPerson(world)
    await person.sees_link()
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)

    async def conflict(*_: Any) -> None:
        return None

    world.consents.patch_status = conflict  # type: ignore[method-assign,assignment]

    assert RETRY == await world.settle_consent(CONSENT)
    assert [] == world.pipedrive.sent


async def _pause(world: FakedOperator) -> timedelta:
    """Return the pause before the next attempt, and let it pass."""
    wanted = await world.settle_consent(CONSENT)
    assert wanted is not None
    world.clock.turn(wanted)
    await world.settle_consent(CONSENT)
    return wanted


def _refuse_to_identify(world: FakedOperator, trouble: Trouble) -> list[Token]:
    """Let Pipedrive say nothing about access tokens, and return those that it is asked about."""
    asked = []

    async def refuse(token: Token) -> Account:
        asked.append(token)
        raise trouble

    world.pipedrive.identify_access_token = refuse  # type: ignore[method-assign]
    return asked
