"""How often an identity logs in, and which token it uses."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from pipedrive_operator.adapters.vault.auth.login import IssuedToken
from pipedrive_operator.adapters.vault.auth.session import KEPT_UNUSED, REPLACEMENT_INTERVAL, Identity
from pipedrive_operator.adapters.vault.exchange import Answer, Request
from pipedrive_operator.adapters.vault.requests import VaultRequests
from pipedrive_operator.core.values.errors import VaultDenied, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from support.turned_clock import TurnedClock

TTL = timedelta(hours=1)
REFUSED = Answer(status=400, body={"errors": ["lease is not renewable"]})


def prolonged(ttl: timedelta) -> Answer:
    """Answer a renewal."""
    auth = {"client_token": "renewed", "lease_duration": ttl.total_seconds(), "renewable": True}
    return Answer(status=200, body={"auth": auth})


@dataclass
class World:
    """A Vault that issues numbered tokens, and renews them as told."""

    ttl: timedelta | None = TTL
    renewable: bool = True
    renewal: Answer = field(default_factory=lambda: prolonged(TTL))
    breaks: VaultDenied | VaultUnavailable | None = None
    logins: int = 0
    renewals: int = 0
    ours: bool = True
    revoked: list[str] = field(default_factory=list)

    async def log_in(self) -> IssuedToken:
        """Issue a token."""
        self.logins += 1
        await asyncio.sleep(0)
        if self.breaks is not None:
            raise self.breaks
        return IssuedToken(
            value=SecretValue(f"token-{self.logins}"), ttl=self.ttl, renewable=self.renewable, ours=self.ours
        )

    async def send(self, request: Request) -> Answer:
        """Renew a token, or revoke it."""
        if request.path == "/v1/auth/token/revoke-self":
            self.revoked.append(request.token.reveal() if request.token else "none")
            return Answer(status=204)
        assert request.path == "/v1/auth/token/renew-self"
        self.renewals += 1
        await asyncio.sleep(0)
        return self.renewal


@pytest.fixture
def world() -> World:
    """Return a Vault."""
    return World()


@pytest.fixture
def identity(world: World, clock: TurnedClock) -> Identity:
    """Return an identity that logs in there."""
    return Identity(world, VaultRequests(world.send), clock)


async def tokens(identity: Identity, count: int) -> set[str]:
    """Ask for the token many times at once."""
    return revealed(await asyncio.gather(*(identity.token() for _ in range(count))))


def revealed(values: Iterable[SecretValue | None]) -> set[str]:
    """Show tokens."""
    return {value.reveal() if value is not None else "none" for value in values}


async def test_a_thousand_at_once_are_one_login(identity: Identity, world: World) -> None:
    """And one token."""
    assert await tokens(identity, 1000) == {"token-1"}
    assert world.logins == 1


async def test_a_token_is_renewed_at_two_thirds_of_its_lifetime(
    identity: Identity, world: World, clock: TurnedClock
) -> None:
    """Once, whoever asks; before that it is used as it is."""
    await identity.token()
    clock.turn(TTL * 2 / 3 - timedelta(seconds=1))
    assert await tokens(identity, 10) == {"token-1"}

    clock.turn(timedelta(seconds=1))

    assert await tokens(identity, 1000) == {"renewed"}
    assert (world.logins, world.renewals) == (1, 1)


async def test_a_token_that_cannot_be_renewed_is_followed_by_a_login(
    identity: Identity, world: World, clock: TurnedClock
) -> None:
    """Before it expires."""
    world.renewable = False
    await identity.token()

    clock.turn(TTL * 2 / 3)

    assert await tokens(identity, 10) == {"token-2"}
    assert world.renewals == 0


@pytest.mark.parametrize("renewal", [REFUSED, prolonged(TTL / 2)], ids=["refused", "near its maximum"])
async def test_a_renewal_that_brings_little_is_followed_by_a_login(
    identity: Identity, world: World, clock: TurnedClock, renewal: Answer
) -> None:
    """Or a token near its maximal lifetime would be renewed ever more often."""
    world.renewal = renewal
    await identity.token()

    clock.turn(TTL * 2 / 3)

    assert await tokens(identity, 10) == {"token-2"}


async def test_an_expired_token_is_not_renewed(identity: Identity, world: World, clock: TurnedClock) -> None:
    """Vault has forgotten it."""
    await identity.token()

    clock.turn(TTL)

    assert await tokens(identity, 10) == {"token-2"}
    assert world.renewals == 0


async def test_a_token_without_expiry_is_used_for_ever(identity: Identity, world: World, clock: TurnedClock) -> None:
    """A root token, for instance."""
    world.ttl = None
    await identity.token()

    clock.turn(timedelta(days=1000))

    assert await tokens(identity, 10) == {"token-1"}


async def test_a_refused_login_is_told_to_all_who_wait_and_tried_once(identity: Identity, world: World) -> None:
    """A thousand credentials with a wrong role are no thousand logins."""
    world.breaks = VaultDenied("no role")

    outcomes = await asyncio.gather(*(identity.token() for _ in range(1000)), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {VaultDenied}
    assert world.logins == 1


async def test_a_refused_login_is_tried_again_after_a_pause(
    identity: Identity, world: World, clock: TurnedClock
) -> None:
    """Somebody may have put the role right."""
    world.breaks = VaultDenied("no role")
    with pytest.raises(VaultDenied):
        await identity.token()
    world.breaks = None

    clock.turn(timedelta(seconds=1))

    assert await tokens(identity, 1) == {"token-2"}


async def test_a_login_without_an_answer_is_not_taken_for_a_refusal(identity: Identity, world: World) -> None:
    """When to try again is for the connection to say."""
    world.breaks = VaultUnavailable("sealed")
    with pytest.raises(VaultUnavailable):
        await identity.token()

    world.breaks = None

    assert await tokens(identity, 1) == {"token-2"}


async def test_a_cancelled_login_is_made_by_the_next_who_waits(identity: Identity, world: World) -> None:
    """Nobody waits for ever."""
    first = asyncio.create_task(identity.token())
    second = asyncio.create_task(identity.token())
    await asyncio.sleep(0)

    first.cancel()

    assert revealed([await second]) == {"token-2"}
    assert world.logins == 2


async def test_a_thousand_refused_requests_are_one_new_login(identity: Identity, world: World) -> None:
    """All go on with the same new token."""
    refused = await identity.token()

    others = await asyncio.gather(*(identity.replacement(refused) for _ in range(1000)))

    assert revealed(others) == {"token-2"}
    assert world.logins == 2


async def test_a_request_refused_with_the_new_token_too_is_refused(
    identity: Identity, world: World, clock: TurnedClock
) -> None:
    """For a while, whoever is refused, the token is not to blame."""
    first = await identity.token()
    second = await identity.replacement(first)
    assert second is not None

    assert await identity.replacement(second) is None
    clock.turn(REPLACEMENT_INTERVAL)
    assert revealed([await identity.replacement(second)]) == {"token-3"}
    assert world.logins == 3


async def test_a_login_that_brings_the_same_token_replaces_nothing(
    world: World, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file still holds the refused one."""
    issued = IssuedToken(value=SecretValue("from the file"), ttl=None, renewable=False)

    async def log_in() -> IssuedToken:
        return issued

    monkeypatch.setattr(world, "log_in", log_in)
    identity = Identity(world, VaultRequests(world.send), clock)

    assert await identity.replacement(await identity.token()) is None


async def test_a_token_is_renewed_at_two_thirds_though_nobody_asks(
    identity: Identity, world: World, clock: TurnedClock
) -> None:
    """A credential polls less often than a short token lives."""
    await identity.token()
    await asyncio.sleep(0)

    clock.turn(TTL * 2 / 3)
    await asyncio.sleep(0.01)

    assert (world.logins, world.renewals) == (1, 1)


async def test_a_token_that_nobody_uses_any_more_is_not_kept_alive(
    identity: Identity, world: World, clock: TurnedClock
) -> None:
    """Its credentials are gone."""
    await identity.token()
    await asyncio.sleep(0)

    clock.turn(KEPT_UNUSED)
    await asyncio.sleep(0.01)

    assert (world.logins, world.renewals) == (1, 0)
    assert identity.is_abandoned


@pytest.mark.parametrize(("ours", "revoked"), [(True, ["token-1"]), (False, [])])
async def test_what_was_issued_to_us_is_revoked_at_the_end(
    identity: Identity, world: World, *, ours: bool, revoked: list[str]
) -> None:
    """A token that a person put into a file is theirs."""
    world.ours = ours
    await identity.token()

    await identity.aclose()

    assert world.revoked == revoked


async def test_a_replaced_token_is_revoked(identity: Identity, world: World) -> None:
    """Refused by policy it is alive, and would be left behind."""
    await identity.replacement(await identity.token())

    assert world.revoked == ["token-1"]


async def test_a_login_that_is_under_way_at_the_end_leaves_no_token(identity: Identity, world: World) -> None:
    """It is waited for, and what it issued is revoked."""
    asking = asyncio.create_task(identity.token())
    await asyncio.sleep(0)
    assert world.logins == 1

    await identity.aclose()

    assert revealed([await asking]) == {"token-1"}
    assert world.revoked == ["token-1"]
