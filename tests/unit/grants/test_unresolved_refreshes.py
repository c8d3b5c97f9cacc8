"""A refresh that was unanswered, refused or requested stays unresolved for the access token that it was about."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.values.errors import (
    ClientRejected,
    PipedriveUnavailable,
    RefreshUncertain,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.core.values.times import format_time
from support.builders import CLIENT_SOURCE, GRANT_LOCATION
from support.keepers import KeeperSurroundings
from support.refresh import ORDER


@pytest.fixture
async def around() -> AsyncIterator[KeeperSurroundings]:
    """Return a keeper, and wait at the end until no refresh is in progress."""
    made = KeeperSurroundings()
    yield made
    await made.keeper.drain()


@pytest.mark.parametrize("known", ["what Vault held", "something older or newer"])
async def test_an_unanswered_refresh_stays_unresolved_for_the_token_it_was_about(
    around: KeeperSurroundings, known: str
) -> None:
    """The next one may be ordered by a credential that knows another access token; it fails before it begins."""
    first = replace(ORDER, access_digest="what Vault held")
    around.pipedrive.breaks = RefreshUncertain("no answer in time")
    await around.refresh(first)
    around.pipedrive.breaks = PipedriveUnavailable("503")

    then = await around.refresh(replace(ORDER, access_digest=known))

    assert isinstance(then, refresh_state.Unavailable)
    assert (True, first.access_digest) == (then.was_requested, then.access_digest)


@pytest.mark.parametrize(("known", "is_unresolved"), [("former", True), ("newer", False)])
async def test_a_refused_refresh_leaves_only_its_own_token_unresolved(
    around: KeeperSurroundings, *, known: str, is_unresolved: bool
) -> None:
    """Another holder has refreshed the grant since, and the refresh token has not rotated."""
    around.pipedrive.breaks = ClientRejected("Pipedrive refused the client")
    await around.refresh(replace(ORDER, access_digest="former"))
    around.pipedrive.breaks = PipedriveUnavailable("503")
    around.vault.put(CLIENT_SOURCE.location, client_id="client", client_secret="new")

    then = await around.refresh(replace(ORDER, access_digest=known))

    assert isinstance(then, refresh_state.Unavailable)
    assert is_unresolved == then.was_requested


async def test_a_requested_refresh_is_made_after_an_unanswered_one_of_a_former_token(
    around: KeeperSurroundings,
) -> None:
    """Another holder has refreshed the grant since, and a person asks for one more."""
    around.pipedrive.breaks = RefreshUncertain("no answer in time")
    await around.refresh(replace(ORDER, access_digest="former"))
    around.pipedrive.breaks = None
    around.clock.turn(timedelta(minutes=2))
    expires_at = format_time(around.clock.now() + timedelta(hours=1))
    around.vault.put(GRANT_LOCATION, refresh_token="seed", access_token="newer", expires_at=expires_at)
    digest = SecretValue("newer").digest()

    await around.refresh(replace(ORDER, access_digest=digest, replaces=digest, is_requested=True))

    assert ["seed"] == around.pipedrive.spent
