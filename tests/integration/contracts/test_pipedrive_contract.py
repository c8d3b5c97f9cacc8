"""The contract of `ports.Pipedrive`, which the fake and the adapter with the simulator must both keep."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from contracts.pipedrive_contract import Disturbance, FakedPipedrive, PipedrivePart, simulated_pipedrive
from pipedrive_operator.core.grant.grant import TokenResponse
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    ClientRejected,
    ConsentRequired,
    FenceClosed,
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    TokenRejected,
    Trouble,
)
from pipedrive_operator.core.values.secret_value import SecretValue

AFTER_EFFECT = [Disturbance.ANSWER_LOST, Disturbance.ANSWER_HANGS]
BEFORE_EFFECT = [Disturbance.REQUEST_LOST, Disturbance.FAILS]
FAILURES = {
    Disturbance.UNREACHABLE: PipedriveUnavailable,
    Disturbance.REQUEST_LOST: RefreshUncertain,
    Disturbance.FAILS: RefreshUncertain,
    Disturbance.ANSWER_LOST: RefreshUncertain,
    Disturbance.ANSWER_HANGS: RefreshUncertain,
    Disturbance.TOO_MANY: RateLimited,
    Disturbance.NOT_OPEN: AccountNotOpen,
}
"""The error of each disturbance of the token endpoint."""


@pytest.fixture(params=["fake", "real"])
async def part(request: pytest.FixtureRequest) -> AsyncIterator[PipedrivePart]:
    """Provide the fake, then the adapter with the simulator."""
    if request.param == "fake":
        yield FakedPipedrive()
        return
    async with simulated_pipedrive() as real:
        real.rotate(does=True)
        yield real


def token_of(answer: TokenResponse) -> Token:
    """Return the access token of a token response."""
    return Token(value=answer.access_token, api_domain=answer.api_domain)


async def test_a_refresh_returns_an_access_token_of_the_account(part: PipedrivePart) -> None:
    """The response also holds its scopes, expiry and API domain."""
    answer = await part.refresh(part.refresh_token)

    assert await part.port.identify_access_token(token_of(answer)) == part.account
    assert answer.token_type == "Bearer"
    assert answer.expires_in > timedelta(0)
    assert answer.scope is not None
    assert "base" in answer.scope
    assert part.sends == 1


async def test_a_rotating_refresh_token_can_be_used_once(part: PipedrivePart) -> None:
    """Its successor is accepted, and so is the access token that came with it."""
    first = await part.refresh(part.refresh_token)

    with pytest.raises(ConsentRequired):
        await part.refresh(part.refresh_token)

    assert first.refresh_token != part.refresh_token
    assert await part.port.identify_access_token(token_of(first)) == part.account
    second = await part.refresh(first.refresh_token)
    assert second.refresh_token not in {part.refresh_token, first.refresh_token}
    assert second.access_token != first.access_token


async def test_a_refresh_token_that_does_not_rotate_can_be_used_again(part: PipedrivePart) -> None:
    """Each use returns another access token."""
    part.rotate(does=False)

    first = await part.refresh(part.refresh_token)
    second = await part.refresh(part.refresh_token)

    assert first.refresh_token == second.refresh_token == part.refresh_token
    assert first.access_token != second.access_token


async def test_a_former_access_token_stays_accepted_after_a_refresh(part: PipedrivePart) -> None:
    """Workloads use it until it expires."""
    first = await part.refresh(part.refresh_token)

    await part.refresh(first.refresh_token)

    assert await part.port.identify_access_token(token_of(first)) == part.account


async def test_an_unknown_refresh_token_needs_consent(part: PipedrivePart) -> None:
    """It is sent, because the adapter cannot know."""
    with pytest.raises(ConsentRequired):
        await part.refresh(SecretValue("1:2:unknown"))

    assert part.sends == 1


async def test_a_revoked_grant_needs_consent(part: PipedrivePart) -> None:
    """Uninstalling the app revokes a grant, too."""
    part.revoke(part.refresh_token)

    with pytest.raises(ConsentRequired):
        await part.refresh(part.refresh_token)


async def test_a_rejected_client_leaves_the_grant_alive(part: PipedrivePart) -> None:
    """The error differs from that of a refused grant, even if the grant would be refused, too."""
    await part.refresh(part.refresh_token)
    part.reject_client()

    with pytest.raises(ClientRejected):
        await part.refresh(part.refresh_token)


async def test_a_code_brings_a_grant_of_the_account_once(part: PipedrivePart) -> None:
    """Its refresh token works, and the code does not work again."""
    code = part.accept()

    answer = await part.exchange(code)

    assert await part.port.identify_access_token(token_of(answer)) == part.account
    assert "base" in (answer.scope or ())
    with pytest.raises(ConsentRequired) as refused:
        await part.exchange(code)
    assert code.reveal() not in refused.value.message
    assert (await part.refresh(answer.refresh_token)).access_token != answer.access_token


async def test_a_rejected_client_cannot_exchange_a_code(part: PipedrivePart) -> None:
    """The error differs from that of a refused code."""
    code = part.accept()
    part.reject_client()

    with pytest.raises(ClientRejected):
        await part.exchange(code)


@pytest.mark.parametrize(("disturbance", "error"), FAILURES.items())
async def test_each_failure_of_an_exchange_has_its_error(
    part: PipedrivePart, disturbance: Disturbance, error: type[Trouble]
) -> None:
    """The message does not contain the code."""
    code = part.accept()
    await part.disturb(disturbance)

    with pytest.raises(Trouble) as caught:
        await part.exchange(code)

    assert type(caught.value) is error
    assert code.reveal() not in caught.value.message


@pytest.mark.parametrize(("disturbance", "error"), FAILURES.items())
async def test_each_failure_of_a_refresh_has_its_error(
    part: PipedrivePart, disturbance: Disturbance, error: type[Trouble]
) -> None:
    """The message contains no token."""
    await part.disturb(disturbance)

    with pytest.raises(Trouble) as caught:
        await part.refresh(part.refresh_token)

    assert type(caught.value) is error
    assert part.refresh_token.reveal() not in caught.value.message


@pytest.mark.parametrize(
    "disturbance", [Disturbance.UNREACHABLE, *BEFORE_EFFECT, Disturbance.TOO_MANY, Disturbance.NOT_OPEN]
)
async def test_a_refresh_that_failed_before_its_effect_spent_no_token(
    part: PipedrivePart, disturbance: Disturbance
) -> None:
    """The same refresh token is accepted afterwards."""
    await part.disturb(disturbance)
    with pytest.raises(Trouble):
        await part.refresh(part.refresh_token)
    await part.heal()

    answer = await part.refresh(part.refresh_token)

    assert answer.refresh_token != part.refresh_token


@pytest.mark.parametrize("disturbance", AFTER_EFFECT)
async def test_a_refresh_that_failed_after_its_effect_spent_the_token(
    part: PipedrivePart, disturbance: Disturbance
) -> None:
    """The new tokens are lost with the response."""
    await part.disturb(disturbance)
    with pytest.raises(RefreshUncertain):
        await part.refresh(part.refresh_token)
    await part.heal()

    with pytest.raises(ConsentRequired):
        await part.refresh(part.refresh_token)


@pytest.mark.parametrize(
    "disturbance", [None, *BEFORE_EFFECT, *AFTER_EFFECT, Disturbance.TOO_MANY, Disturbance.NOT_OPEN]
)
async def test_the_fence_is_called_once_and_before_the_request_leaves(
    part: PipedrivePart, disturbance: Disturbance | None
) -> None:
    """No matter how the request ends; and it leaves once."""
    seen: list[int] = []
    if disturbance is not None:
        await part.disturb(disturbance)

    async def fence() -> None:
        seen.append(part.sends)

    try:
        await part.refresh(part.refresh_token, fence=fence)
    except Trouble:
        assert disturbance is not None

    assert seen == [0]
    assert part.sends == 1


async def test_the_fence_is_not_called_without_a_connection(part: PipedrivePart) -> None:
    """Nothing can be sent."""
    seen: list[int] = []
    await part.disturb(Disturbance.UNREACHABLE)

    async def fence() -> None:
        seen.append(part.sends)

    with pytest.raises(PipedriveUnavailable):
        await part.refresh(part.refresh_token, fence=fence)

    assert seen == []


async def test_a_closed_fence_keeps_the_request_from_leaving(part: PipedrivePart) -> None:
    """Its error is raised, and the refresh token is accepted afterwards."""
    closed = FenceClosed("not now")

    async def fence() -> None:
        raise closed

    with pytest.raises(FenceClosed) as caught:
        await part.refresh(part.refresh_token, fence=fence)

    assert caught.value is closed
    assert part.sends == 0
    assert await part.refresh(part.refresh_token)


async def test_an_api_token_is_identified(part: PipedrivePart) -> None:
    """The account is that of its user."""
    assert await part.port.identify_api_token(part.api_token) == part.account


async def test_an_unknown_token_of_either_kind_is_rejected(part: PipedrivePart) -> None:
    """A token of one kind is not accepted as the other kind."""
    answer = await part.refresh(part.refresh_token)

    with pytest.raises(TokenRejected):
        await part.port.identify_api_token(SecretValue("b" * 40))
    with pytest.raises(TokenRejected):
        await part.port.identify_api_token(answer.access_token)
    with pytest.raises(TokenRejected):
        await part.port.identify_access_token(Token(value=SecretValue("v1u:unknown"), api_domain=answer.api_domain))


async def test_a_revoked_access_token_is_rejected(part: PipedrivePart) -> None:
    """It has not expired, and its grant stays accepted."""
    answer = await part.refresh(part.refresh_token)
    part.revoke(answer.access_token)

    with pytest.raises(TokenRejected):
        await part.port.identify_access_token(token_of(answer))

    assert await part.refresh(answer.refresh_token)


async def test_an_expired_access_token_is_rejected(part: PipedrivePart) -> None:
    """Its grant stays accepted."""
    answer = await part.refresh(part.refresh_token)
    part.expire(answer.access_token)

    with pytest.raises(TokenRejected):
        await part.port.identify_access_token(token_of(answer))

    assert await part.refresh(answer.refresh_token)


@pytest.mark.parametrize(
    ("disturbance", "error"),
    [
        (Disturbance.UNREACHABLE, PipedriveUnavailable),
        (Disturbance.REQUEST_LOST, PipedriveUnavailable),
        (Disturbance.ANSWER_LOST, PipedriveUnavailable),
        (Disturbance.FAILS, PipedriveUnavailable),
        (Disturbance.TOO_MANY, RateLimited),
        (Disturbance.NOT_OPEN, AccountNotOpen),
    ],
)
async def test_each_failure_of_a_verification_has_its_error(
    part: PipedrivePart, disturbance: Disturbance, error: type[Trouble]
) -> None:
    """It is the same for both kinds of token, and none of them rejects the token."""
    answer = await part.refresh(part.refresh_token)
    await part.disturb(disturbance)

    with pytest.raises(Trouble) as of_api_token:
        await part.port.identify_api_token(part.api_token)
    with pytest.raises(Trouble) as of_access_token:
        await part.port.identify_access_token(token_of(answer))

    assert type(of_api_token.value) is type(of_access_token.value) is error
    await part.heal()
    assert await part.port.identify_api_token(part.api_token) == part.account
    assert await part.port.identify_access_token(token_of(answer)) == part.account


async def test_the_pause_that_a_429_asks_for_is_passed_on(part: PipedrivePart) -> None:
    """This holds for both endpoints."""
    await part.disturb(Disturbance.TOO_MANY)

    with pytest.raises(RateLimited) as of_refresh:
        await part.refresh(part.refresh_token)
    with pytest.raises(RateLimited) as of_identification:
        await part.port.identify_api_token(part.api_token)

    assert of_refresh.value.retry_after == of_identification.value.retry_after == timedelta(seconds=5)
