"""A grant that is dead, or may be: it is reported as long as nobody knows better, and tried again at a pace."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant.candidate import with_candidate
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.terms import Terms
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import AccountNotOpen, ClientRejected, Trouble
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import ACCOUNT, GRANT_LOCATION, GRANT_SOURCE, KEY, OAUTH2_SPEC, TIMINGS, access_token, resource
from support.consenting import CONSENT, ConsentingPerson
from support.exchanges import OTHER_COMPANY, claimed, exchange_order
from support.faked_operator import REFRESH, FakedOperator, seeded_world
from support.refresh import in_time


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a seeded world."""
    async for made in seeded_world():
        yield made


@pytest.mark.parametrize("is_refused", [True, False])
async def test_a_grant_that_may_be_dead_is_not_reported_as_accepted_after_the_pause(
    world: FakedOperator, *, is_refused: bool
) -> None:
    """A refresh was requested long before the renewal time, so the access token is valid still."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    world.pipedrive.alive.clear()
    world.pipedrive.network.loses_answers = 0.0 if is_refused else 1.0
    world.cluster.apply(resource(OAUTH2_SPEC, annotations=REFRESH))
    reported = ("False", "ConsentRequired") if is_refused else ("Unknown", "RefreshUncertain")
    await world.settle()
    assert world.condition(ConditionType.AUTHORIZED) == reported
    world.pipedrive.network.loses_answers = 0.0

    world.clock.turn(timedelta(minutes=10))
    await world.settle()

    assert world.condition(ConditionType.AUTHORIZED) == ("False", "ConsentRequired")


async def test_a_check_verifies_the_token_of_a_grant_that_may_be_dead(world: FakedOperator) -> None:
    """The refresh was refused, and Pipedrive has revoked the access token as well."""
    await _refuse_a_request(world)
    assert world.condition(ConditionType.READY) == ("True", "Published")
    del world.pipedrive.accounts[str(world.value("access_token"))]

    world.cluster.apply(resource(OAUTH2_SPEC, annotations={"pipedrive-operator.io/requested-at": "later"}))
    await world.settle()

    assert world.condition(ConditionType.READY) == ("False", "ConsentRequired")


async def test_a_refused_code_has_vault_read_again(world: FakedOperator) -> None:
    """The exchange has read the grant that a process of another cluster has stored since, so it must not look dead."""
    await _refuse_a_request(world)
    person = ConsentingPerson(world)
    await person.sees_link()
    world.vault.put(GRANT_LOCATION, refresh_token="theirs")
    world.pipedrive.alive.add("theirs")
    world.consents.answer(CONSENT, SecretValue("refused"), person.state)

    await in_time(world.clock, world.settle_consent(CONSENT))
    await world.settle()

    assert person.reports(ConsentReason.CODE_REFUSED)
    assert world.condition(ConditionType.AUTHORIZED) == ("True", "Accepted")


@pytest.mark.parametrize("trouble", [ClientRejected("invalid_client"), AccountNotOpen("402")])
async def test_a_forged_candidate_without_a_grant_is_sent_once(world: FakedOperator, trouble: Trouble) -> None:
    """Anyone who can write to the document could keep the operator and Pipedrive busy otherwise."""
    forged = {"refresh_token": "theirs", "terms_consent": "anything"}
    world.vault.put(GRANT_LOCATION, consent_candidate=json.dumps(forged))
    world.pipedrive.breaks = trouble
    world.cluster.apply(resource(OAUTH2_SPEC))

    async with asyncio.timeout(10):
        await world.settle()

    assert ["theirs"] == world.pipedrive.sent


async def test_a_refusal_outlives_an_exchange_that_brings_nothing(world: FakedOperator) -> None:
    """The person accepted for another company, so the dead grant stays in Vault."""
    await _refuse_a_request(world)
    code = world.pipedrive.accept(OTHER_COMPANY)
    order = replace(exchange_order(GRANT_SOURCE, code, began=world.clock.monotonic()), pinned=ACCOUNT)

    found = await world.keeper.exchange(order, claimed)
    await world.settle()

    assert found is not None
    assert found.reason is ConsentReason.WRONG_ACCOUNT
    assert world.condition(ConditionType.AUTHORIZED) == ("False", "ConsentRequired")


async def test_a_refusal_outlives_another_credential_for_the_grant(world: FakedOperator) -> None:
    """Otherwise each new one would send the dead token again."""
    await _refuse_a_request(world)
    sent = len(world.pipedrive.sent)

    world.cluster.apply(resource(OAUTH2_SPEC | {"target": {"name": "other"}}, name="newer"))
    await world.settle(replace(KEY, name="newer"))
    await world.settle()

    assert world.condition(ConditionType.AUTHORIZED) == ("False", "ConsentRequired")
    assert sent == len(world.pipedrive.sent)


async def test_a_dead_grant_is_not_taken_for_a_fresh_one_beside_a_candidate(world: FakedOperator) -> None:
    """The refresh after the pause settles the candidate, which is of another company."""
    world.pipedrive.lifetime = timedelta(hours=5)
    await _refuse_a_request(world)
    token = access_token("v1u:theirs", lifetime=timedelta(hours=5))
    world.pipedrive.accounts["v1u:theirs"] = OTHER_COMPANY
    terms = Terms(consent="uid", consent_generation=2, expected=AccountGuard(company_id=12), over=None)
    candidate = Grant(refresh_token=SecretValue("theirs"), token=token, client_id="client", terms=terms)
    values = with_candidate(world.vault.documents[GRANT_LOCATION].values, candidate)
    world.vault.put(GRANT_LOCATION, **values)

    world.clock.turn(TIMINGS.verify_interval)
    await world.settle()

    assert world.condition(ConditionType.AUTHORIZED) == ("False", "ConsentRequired")


async def _refuse_a_request(world: FakedOperator) -> None:
    """Let the grant die, and request a refresh long before the renewal time."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    world.pipedrive.alive.clear()
    world.cluster.apply(resource(OAUTH2_SPEC, annotations=REFRESH))
    await world.settle()
    assert world.condition(ConditionType.AUTHORIZED) == ("False", "ConsentRequired")
