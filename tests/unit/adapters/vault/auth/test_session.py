"""How often a session logs in, and which token it uses."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.vault.auth.login import IssuedToken
from pipedrive_operator.adapters.vault.auth.session import KEPT_UNUSED, REPLACEMENT_INTERVAL, SETTLING_TIME, Session
from pipedrive_operator.adapters.vault.exchange import Request, Response
from pipedrive_operator.core.values.errors import SourceMissing, VaultDenied, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from support.vault import ImpatientClock

TTL = timedelta(hours=1)
READ = Request(operation="read", method="GET", path="/v1/secret/data/a")
OK = Response(status=200, body={})
DENIED = Response(status=403, body={"errors": ["permission denied"]})
REFUSED = Response(status=400, body={"errors": ["lease is not renewable"]})


def renewed(ttl: timedelta) -> Response:
    """Return the response to a renewal."""
    auth = {"client_token": "renewed", "lease_duration": ttl.total_seconds(), "renewable": True}
    return Response(status=200, body={"auth": auth})


@dataclass
class FakeVault:
    """A Vault that issues numbered tokens, and responds to renewals as the test asks."""

    ttl: timedelta | None = TTL
    renewable: bool = True
    renewal: Response = field(default_factory=lambda: renewed(TTL))
    breaks: VaultDenied | SourceMissing | VaultUnavailable | None = None
    logins: int = 0
    renewals: int = 0
    ours: bool = True
    policies: frozenset[str] = frozenset({"default"})
    is_valid: bool = False
    """Whether a lookup still finds the session's token."""
    reads: list[Response] = field(default_factory=list)
    """The responses to the next reads; then all succeed."""
    tokens: list[str] = field(default_factory=list)
    """The tokens of the reads."""
    revoked: list[str] = field(default_factory=list)

    async def log_in(self) -> IssuedToken:
        """Issue a token."""
        self.logins += 1
        await asyncio.sleep(0)
        if self.breaks is not None:
            raise self.breaks
        return IssuedToken(
            value=SecretValue(f"token-{self.logins}"),
            ttl=self.ttl,
            renewable=self.renewable,
            policies=self.policies,
            ours=self.ours,
        )

    async def send(self, request: Request) -> Response:
        """Renew or revoke a token."""
        if request.path == "/v1/auth/token/revoke-self":
            self.revoked.append(request.token.reveal() if request.token else "none")
            return Response(status=204)
        if request.path == "/v1/auth/token/lookup-self":
            return Response(status=200 if self.is_valid else 403, body={})
        if request.path == READ.path:
            self.tokens.append(request.token.reveal() if request.token else "none")
            return self.reads.pop(0) if self.reads else OK
        assert request.path == "/v1/auth/token/renew-self"
        self.renewals += 1
        await asyncio.sleep(0)
        return self.renewal


@pytest.fixture
def vault() -> FakeVault:
    """Return a Vault."""
    return FakeVault()


@pytest.fixture
def session(vault: FakeVault, clock: TurnedClock) -> Session:
    """Return a session that logs in there."""
    return Session(vault, vault.send, clock)


async def tokens(session: Session, count: int) -> set[str]:
    """Return the distinct tokens of many concurrent callers."""
    return revealed(await asyncio.gather(*(session.token() for _ in range(count))))


def revealed(values: Iterable[SecretValue | None]) -> set[str]:
    """Return the texts of tokens."""
    return {value.reveal() if value is not None else "none" for value in values}


async def test_a_thousand_concurrent_callers_cause_one_login(session: Session, vault: FakeVault) -> None:
    """All get the same token."""
    assert await tokens(session, 1000) == {"token-1"}
    assert vault.logins == 1


async def test_a_token_is_renewed_at_two_thirds_of_its_lifetime(
    session: Session, vault: FakeVault, clock: TurnedClock
) -> None:
    """One renewal serves all callers; until then the token is used unchanged."""
    await session.token()
    clock.turn(TTL * 2 / 3 - timedelta(seconds=1))
    assert await tokens(session, 10) == {"token-1"}

    clock.turn(timedelta(seconds=1))

    assert await tokens(session, 1000) == {"renewed"}
    assert (vault.logins, vault.renewals) == (1, 1)


async def test_a_token_that_is_not_renewable_is_replaced_by_a_login(
    session: Session, vault: FakeVault, clock: TurnedClock
) -> None:
    """The login happens before the token expires."""
    vault.renewable = False
    await session.token()

    clock.turn(TTL * 2 / 3)

    assert await tokens(session, 10) == {"token-2"}
    assert vault.renewals == 0


@pytest.mark.parametrize(
    "renewal",
    [REFUSED, renewed(TTL / 2), renewed(timedelta(0))],
    ids=["refused", "near its maximum", "of zero seconds"],
)
async def test_a_renewal_that_gains_little_is_followed_by_a_login(
    session: Session, vault: FakeVault, clock: TurnedClock, renewal: Response
) -> None:
    """A token near its maximum lifetime would otherwise be renewed ever more often."""
    vault.renewal = renewal
    await session.token()

    clock.turn(TTL * 2 / 3)

    assert await tokens(session, 10) == {"token-2"}


async def test_an_expired_token_is_not_renewed(session: Session, vault: FakeVault, clock: TurnedClock) -> None:
    """Vault has deleted it."""
    await session.token()

    clock.turn(TTL)

    assert await tokens(session, 10) == {"token-2"}
    assert vault.renewals == 0


async def test_a_token_without_expiry_is_used_forever(session: Session, vault: FakeVault, clock: TurnedClock) -> None:
    """A root token has none."""
    vault.ttl = None
    await session.token()

    clock.turn(timedelta(days=1000))

    assert await tokens(session, 10) == {"token-1"}


@pytest.mark.parametrize("error", [VaultDenied("no role"), SourceMissing("no namespace")])
async def test_a_refused_login_fails_all_waiting_callers_at_once(
    session: Session, vault: FakeVault, error: VaultDenied | SourceMissing
) -> None:
    """A thousand credentials with a wrong role cause one login."""
    vault.breaks = error

    outcomes = await asyncio.gather(*(session.token() for _ in range(1000)), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {type(error)}
    assert vault.logins == 1


async def test_a_refused_login_is_repeated_after_a_pause(
    session: Session, vault: FakeVault, clock: TurnedClock
) -> None:
    """The role may have been corrected."""
    vault.breaks = VaultDenied("no role")
    with pytest.raises(VaultDenied):
        await session.token()
    vault.breaks = None

    clock.turn(timedelta(seconds=1))

    assert await tokens(session, 1) == {"token-2"}


async def test_a_login_without_a_response_is_not_a_refusal(session: Session, vault: FakeVault) -> None:
    """The limiter of the server decides when to try again."""
    vault.breaks = VaultUnavailable("sealed")
    with pytest.raises(VaultUnavailable):
        await session.token()

    vault.breaks = None

    assert await tokens(session, 1) == {"token-2"}


async def test_a_cancelled_login_is_taken_over_by_the_next_caller(session: Session, vault: FakeVault) -> None:
    """No caller waits forever."""
    first = asyncio.create_task(session.token())
    second = asyncio.create_task(session.token())
    await asyncio.sleep(0)

    first.cancel()

    assert revealed([await second]) == {"token-2"}
    assert vault.logins == 2


async def test_a_thousand_refused_requests_cause_one_login(session: Session, vault: FakeVault) -> None:
    """All continue with the same new token."""
    refused = await session.token()

    others = await asyncio.gather(*(session.replacement(refused) for _ in range(1000)))

    assert revealed(others) == {"token-2"}
    assert vault.logins == 2


async def test_a_request_that_is_refused_with_the_new_token_too_keeps_that_token(
    session: Session, vault: FakeVault, clock: TurnedClock
) -> None:
    """For a minute, further refusals are not attributed to the token."""
    first = await session.token()
    second = await session.replacement(first)
    assert second is not None

    assert await session.replacement(second) is None
    clock.turn(REPLACEMENT_INTERVAL)
    assert revealed([await session.replacement(second)]) == {"token-3"}
    assert vault.logins == 3


async def test_a_login_that_returns_the_same_token_replaces_nothing(
    vault: FakeVault, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file still contains the refused token."""
    issued = IssuedToken(value=SecretValue("from the file"), ttl=None, renewable=False)

    async def log_in() -> IssuedToken:
        return issued

    monkeypatch.setattr(vault, "log_in", log_in)
    session = Session(vault, vault.send, clock)

    assert await session.replacement(await session.token()) is None


async def test_a_token_is_renewed_at_two_thirds_without_a_caller(
    session: Session, vault: FakeVault, clock: TurnedClock
) -> None:
    """Credentials may poll less often than a short-lived token needs."""
    await session.token()
    await asyncio.sleep(0)

    clock.turn(TTL * 2 / 3)
    await asyncio.sleep(0.01)

    assert (vault.logins, vault.renewals) == (1, 1)


async def test_an_unused_token_is_not_kept_alive(session: Session, vault: FakeVault, clock: TurnedClock) -> None:
    """Its credentials were deleted."""
    await session.token()
    await asyncio.sleep(0)

    clock.turn(KEPT_UNUSED)
    await asyncio.sleep(0.01)

    assert (vault.logins, vault.renewals) == (1, 0)
    assert session.is_idle


@pytest.mark.parametrize(("ours", "revoked"), [(True, ["token-1"]), (False, [])])
async def test_a_token_that_was_issued_to_this_process_is_revoked_at_the_end(
    session: Session, vault: FakeVault, *, ours: bool, revoked: list[str]
) -> None:
    """A token that a person put into a file is not revoked."""
    vault.ours = ours
    await session.token()

    await session.aclose()

    assert vault.revoked == revoked


async def test_a_replaced_token_is_revoked(session: Session, vault: FakeVault) -> None:
    """A token that the policy refuses is still valid, and would otherwise be left behind."""
    await session.replacement(await session.token())

    assert vault.revoked == ["token-1"]


async def test_a_login_in_progress_at_the_end_leaves_no_token(session: Session, vault: FakeVault) -> None:
    """The end waits for it, and revokes its token."""
    asking = asyncio.create_task(session.token())
    await asyncio.sleep(0)
    assert vault.logins == 1

    await session.aclose()

    assert revealed([await asking]) == {"token-1"}
    assert vault.revoked == ["token-1"]


@pytest.fixture
async def settled(session: Session, clock: TurnedClock) -> Session:
    """Return a session whose login every server knows by now."""
    await session.token()
    clock.turn(SETTLING_TIME)
    return session


async def test_a_path_that_the_policy_denies_costs_no_token(settled: Session, vault: FakeVault) -> None:
    """The token is still valid, so that the path is to blame; the login that checked for new policies ends."""
    vault.is_valid, vault.reads = True, [DENIED]

    assert await settled.send(READ) == DENIED
    assert vault.revoked == ["token-2"]
    assert await tokens(settled, 1) == {"token-1"}


async def test_new_policies_of_the_role_are_used(settled: Session, vault: FakeVault) -> None:
    """A valid token keeps the policies of its login; the new token is in use before the old one is revoked."""
    vault.is_valid, vault.reads, vault.policies = True, [DENIED], frozenset({"default", "crm"})

    assert await settled.send(READ) == OK
    assert (vault.tokens, vault.revoked) == (["token-1", "token-2"], ["token-1"])


async def test_a_denied_path_keeps_the_valid_token_while_no_login_is_possible(
    settled: Session, vault: FakeVault
) -> None:
    """The auth method may be down; other paths are still read."""
    vault.is_valid, vault.reads, vault.breaks = True, [DENIED], VaultDenied("no role")

    assert await settled.send(READ) == DENIED
    assert await settled.send(READ) == OK
    assert vault.revoked == []


async def test_an_invalid_token_without_a_login_is_the_failure_of_the_login(settled: Session, vault: FakeVault) -> None:
    """The message names the login, and not the policy of the path."""
    vault.reads, vault.breaks = [DENIED], VaultDenied("no role")

    with pytest.raises(VaultDenied, match="no role"):
        await settled.send(READ)


async def test_a_provided_token_that_was_replaced_is_used(settled: Session, vault: FakeVault) -> None:
    """An agent wrote another token with the same policies."""
    vault.is_valid, vault.reads, vault.ours = True, [DENIED], False

    assert await settled.send(READ) == OK
    assert vault.tokens == ["token-1", "token-2"]


@pytest.mark.parametrize("refusal", [DENIED, REFUSED], ids=["403", "400"])
async def test_a_refusal_just_after_a_login_is_repeated(vault: FakeVault, refusal: Response) -> None:
    """A server that lags behind does not know the token yet."""
    vault.reads = [refusal, refusal, refusal]
    session = Session(vault, vault.send, ImpatientClock())

    assert await session.send(READ) == OK
    assert set(vault.tokens) == {"token-1"}


async def test_a_refusal_that_stays_is_returned(vault: FakeVault) -> None:
    """After a second it is what it says."""
    vault.reads = [REFUSED] * 10
    session = Session(vault, vault.send, ImpatientClock())

    assert await session.send(READ) == REFUSED
    assert len(vault.tokens) == 4


async def test_a_conflict_just_after_a_login_is_not_repeated(vault: FakeVault) -> None:
    """A server that lags does not report one, and the caller has to read the document again."""
    conflict = Response(status=400, body={"errors": ["check-and-set parameter did not match the current version"]})
    vault.reads = [conflict]
    session = Session(vault, vault.send, ImpatientClock())

    assert await session.send(READ) == conflict


async def test_a_refusal_long_after_a_login_is_not_repeated(settled: Session, vault: FakeVault) -> None:
    """Every server knows the token by then."""
    vault.reads = [REFUSED]

    assert await settled.send(READ) == REFUSED
    assert len(vault.tokens) == 1
