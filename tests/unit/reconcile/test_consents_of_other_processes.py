"""Consents when processes die, are stopped or lose the Lease, with fake ports."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from fakes.consents import FakeConsents
from pipedrive_operator.core.decision.consents import reported
from pipedrive_operator.core.resource.consent import write_consent_status
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import ApiServerUnavailable, FenceClosed, VaultDenied, VaultUnavailable
from pipedrive_operator.reconcile.answers import RETRY
from support.builders import ACCOUNT, GRANT_LOCATION, KEY
from support.consenting import CONSENT, ConsentingPerson, unconnected_world
from support.faked_operator import FakedOperator
from support.refresh import in_time


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Provide a world with a credential whose grant is missing."""
    async for made in unconnected_world():
        yield made


async def test_a_claimed_code_of_a_dead_process_is_concluded_and_not_sent_again(world: FakedOperator) -> None:
    """The API server was down when the exchange had ended: the next process finds the grant in Vault."""
    person = ConsentingPerson(world)
    await person.sees_link()
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)
    patch, patches = FakeConsents.patch_status, 0

    async def fail_after_claim(consents: FakeConsents, *arguments: Any) -> Any:
        nonlocal patches
        patches += 1
        if patches > 1:
            raise ApiServerUnavailable("no answer")
        return await patch(consents, *arguments)

    world.consents.patch_status = lambda *arguments: fail_after_claim(world.consents, *arguments)  # type: ignore[method-assign]
    with pytest.raises(ApiServerUnavailable):
        await world.settle_consent(CONSENT)
    assert person.reports(ConsentReason.CODE_RECEIVED)
    del world.consents.patch_status
    world.start()

    await world.settle_consent(CONSENT)

    assert person.reports(ConsentReason.CONNECTED)
    assert person.consent.status.account == ACCOUNT
    assert ["code-1"] == world.pipedrive.sent


async def test_the_candidate_stays_while_pipedrive_cannot_say_whose_it_is(world: FakedOperator) -> None:
    """The status says so, and it is asked again."""
    person = ConsentingPerson(world)
    await person.sees_link()
    accounts, world.pipedrive.accounts = world.pipedrive.accounts, _Accounts()
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)

    assert await world.settle_consent(CONSENT) == timedelta(seconds=5)
    assert person.reports(ConsentReason.VERIFYING)
    accounts |= world.pipedrive.accounts
    world.pipedrive.accounts = accounts
    world.clock.turn(RETRY)
    await world.settle_consent(CONSENT)

    assert person.reports(ConsentReason.CONNECTED)
    assert ["code-1"] == world.pipedrive.sent


class _Accounts(dict[str, Account]):
    """Accounts for which something happens while somebody asks."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None, answer: Account | None = None) -> None:
        """Take what happens before the answer arrives; without an answer, Pipedrive is unavailable."""
        super().__init__()
        self._meanwhile, self._answer = meanwhile, answer

    def get(self, *_: Any) -> Any:
        """Answer, or fail as an unavailable Pipedrive does."""
        self._meanwhile()
        if self._answer is None:
            raise VaultUnavailable("Pipedrive is away")
        return self._answer


def _let_the_first_report_conflict(world: FakedOperator, meanwhile: Callable[[], None]) -> None:
    """Let the report that follows the claim find that the consent has changed; something else happens meanwhile."""
    patch, patches = FakeConsents.patch_status, 0

    async def conflict(consents: FakeConsents, *arguments: Any) -> Any:
        nonlocal patches
        patches += 1
        if patches != 2:
            return await patch(consents, *arguments)
        meanwhile()
        return None

    world.consents.patch_status = lambda *arguments: conflict(world.consents, *arguments)  # type: ignore[method-assign]


def _report_elsewhere(world: FakedOperator, person: ConsentingPerson, reason: ConsentReason) -> None:
    """Report about the newest answer, as another process does that has handled it."""
    status = reported(person.consent, reason, "", world.clock.now())
    world.cluster.store_consent(world.cluster.consents[CONSENT] | {"status": write_consent_status(status)})


async def test_a_process_that_lost_the_lease_during_the_exchange_reports_nothing(world: FakedOperator) -> None:
    """The process that leads now concludes the exchange, and reports it."""
    person = ConsentingPerson(world)
    await person.sees_link()
    world.pipedrive.accounts = _Accounts(lambda: setattr(world.leadership, "seconds", 0))
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)

    with pytest.raises(FenceClosed):
        await world.settle_consent(CONSENT)

    assert person.reports(ConsentReason.CODE_RECEIVED)


async def test_a_delay_is_not_reported_over_the_end_that_another_process_has_reported(world: FakedOperator) -> None:
    """This process was stopped while it asked Pipedrive, and has not noticed yet that it no longer leads."""
    person = ConsentingPerson(world)
    await person.sees_link()

    world.pipedrive.accounts = _Accounts(lambda: _report_elsewhere(world, person, ConsentReason.CONNECTED))
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)

    await world.settle_consent(CONSENT)

    assert person.reports(ConsentReason.CONNECTED)


@pytest.mark.parametrize("is_known_here", [False, True])
async def test_an_end_that_another_process_has_reported_is_neither_counted_nor_announced_again(
    world: FakedOperator, *, is_known_here: bool
) -> None:
    """It has found the account that this process has connected too, or about which this process is in doubt."""
    person = ConsentingPerson(world)
    await person.sees_link()

    def connect_elsewhere(*_: object) -> None:
        _report_elsewhere(world, person, ConsentReason.CONNECTED)

    if is_known_here:
        world.pipedrive.accounts = _Accounts(connect_elsewhere, ACCOUNT)
    else:
        world.pipedrive.network.loses_answers = 1.0
        world.pipedrive.loses = connect_elsewhere  # type: ignore[method-assign,assignment]
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)

    await in_time(world.clock, world.settle_consent(CONSENT))

    assert person.reports(ConsentReason.CONNECTED)
    assert [] == world.consents_ended
    assert [] == [event for event in world.cluster.events if CONSENT.name in event.message]


async def test_a_candidate_that_waits_replaces_an_uncertain_end(world: FakedOperator) -> None:
    """Another process concluded while this one was stopped, and Pipedrive cannot say whose the grant is."""
    person = ConsentingPerson(world)
    await person.sees_link()

    def conclude() -> None:
        if person.reports(ConsentReason.CODE_RECEIVED):
            _report_elsewhere(world, person, ConsentReason.UNCERTAIN)

    accounts, world.pipedrive.accounts = world.pipedrive.accounts, _Accounts(conclude)
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)

    await world.settle_consent(CONSENT)
    assert person.reports(ConsentReason.VERIFYING)
    world.pipedrive.accounts = accounts | world.pipedrive.accounts
    world.clock.turn(RETRY)
    await world.settle_consent(CONSENT)

    assert person.reports(ConsentReason.CONNECTED)


async def test_a_report_is_repeated_if_the_consent_has_changed_meanwhile(world: FakedOperator) -> None:
    """Otherwise its reason would be lost: nobody else knows how the exchange ended."""
    person = ConsentingPerson(world)
    await person.sees_link()
    world.pipedrive.rejects_client = True
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)
    _let_the_first_report_conflict(world, lambda: None)
    assert await world.settle_consent(CONSENT) == timedelta(seconds=5)
    await world.settle_consent(CONSENT)

    assert person.reports(ConsentReason.CLIENT_REJECTED)


async def test_a_doubt_that_could_not_be_reported_is_examined_again(world: FakedOperator) -> None:
    """The answer was lost, but another process had stored the result when the report was repeated."""
    person = ConsentingPerson(world)
    await person.sees_link()
    world.pipedrive.network.loses_answers = 1.0
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)

    def store() -> None:
        exchange = {"consent_uid": person.consent.uid, "consent_generation": person.consent.generation}
        world.vault.put(GRANT_LOCATION, refresh_token="refresh-2", **exchange)

    _let_the_first_report_conflict(world, store)
    await world.settle_consent(CONSENT)
    assert person.reports(ConsentReason.CODE_RECEIVED)

    await world.settle_consent(CONSENT)

    assert person.reports(ConsentReason.CONNECTED)
    assert ["code-1"] == world.pipedrive.sent


async def test_a_doubt_that_stays_is_reported_with_its_first_message(world: FakedOperator) -> None:
    """That message says what happened to this process's own request."""
    person = ConsentingPerson(world)
    await person.sees_link()
    world.pipedrive.network.loses_answers = 1.0
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)
    _let_the_first_report_conflict(world, lambda: None)
    await world.settle_consent(CONSENT)

    await in_time(world.clock, world.settle_consent(CONSENT))

    assert person.reports(ConsentReason.UNCERTAIN)
    assert "The operator stopped" not in str(person.consent.status)


async def test_a_candidate_that_a_refresh_has_settled_is_settled_once(world: FakedOperator) -> None:
    """The next process passes over the credential before the consent."""
    person = ConsentingPerson(world)
    await person.sees_link()
    accounts, world.pipedrive.accounts = world.pipedrive.accounts, _Accounts()
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)
    await world.settle_consent(CONSENT)
    world.pipedrive.accounts = accounts | world.pipedrive.accounts
    world.start()
    passes = 0

    while passes < 10:
        passes += 1
        world.woken.clear()
        await world.reconcile(KEY)
        await world.keeper.drain()
        if not world.woken:
            break

    assert passes < 10
    assert world.value("access_token") == "access-2"


@pytest.mark.parametrize("first", ["verifying", "connected"])
async def test_a_newer_answer_that_another_process_has_handled_is_not_handled_again(
    world: FakedOperator, first: str
) -> None:
    """This process was stopped while it asked Pipedrive about the first answer; no code may be sent twice."""
    person = ConsentingPerson(world)
    await person.sees_link()

    def handle_another() -> None:
        world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)
        _report_elsewhere(world, person, ConsentReason.CLIENT_REJECTED)

    world.pipedrive.accounts = _Accounts(handle_another, ACCOUNT if first == "connected" else None)
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)

    await world.settle_consent(CONSENT)

    assert ["code-1"] == world.pipedrive.sent
    assert person.reports(ConsentReason.CONNECTED if first == "connected" else ConsentReason.CLIENT_REJECTED)
    assert person.consent.status.observed_generation == person.consent.generation


@pytest.mark.parametrize("answers", [1, 2])
async def test_a_former_leader_does_not_report_that_a_code_was_not_sent_which_another_one_has_sent(
    world: FakedOperator, answers: int
) -> None:
    """It lost the Lease before it could report that. A newer answer makes no difference."""
    person = ConsentingPerson(world)
    await person.sees_link()
    world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)
    read = world.vault.read

    async def lose_the_lease(*_: object) -> Any:
        world.leadership.seconds = 0
        raise VaultDenied("permission denied")

    world.vault.read = lose_the_lease  # type: ignore[method-assign,assignment]
    with pytest.raises(FenceClosed):
        await world.settle_consent(CONSENT)
    world.vault.read, world.leadership.seconds = read, float("inf")  # type: ignore[method-assign]
    former = world.keeper, world.reconciler, world.consent_reconciler

    world.start()
    accounts, world.pipedrive.accounts = world.pipedrive.accounts, _Accounts()
    await world.settle_consent(CONSENT)
    assert person.reports(ConsentReason.VERIFYING)
    world.keeper, world.reconciler, world.consent_reconciler = former
    for _ in range(answers - 1):
        world.consents.answer(CONSENT, world.pipedrive.accept(), person.state)
    world.pipedrive.accounts = accounts | world.pipedrive.accounts
    await in_time(world.clock, world.settle_consent(CONSENT))

    assert person.reports(ConsentReason.CONNECTED)
    assert ["connected"] == [reason.lower() for reason in world.consents_ended]
    assert ["Connected"] == [event.reason for event in world.cluster.events if CONSENT.name in event.message]


async def test_a_standby_does_nothing(world: FakedOperator) -> None:
    """The leader does."""
    ConsentingPerson(world)
    world.leadership.seconds = 0

    with pytest.raises(FenceClosed):
        await world.settle_consent(CONSENT)
