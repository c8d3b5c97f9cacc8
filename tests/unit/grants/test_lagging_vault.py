"""The refresh protocol on a standby of Vault whose reads lag behind the writes."""

import asyncio
from datetime import timedelta
from math import inf

import pytest

from fakes.vault import FakeVault
from pipedrive_operator.core.grant.document import Document, VaultLocation
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.values.errors import ConsentRequired
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import GRANT_LOCATION
from support.refresh import Surroundings


class Lag:
    """A standby of Vault: its reads return what the grant's document was before, until it catches up."""

    def __init__(self, vault: FakeVault, *, reads: float = inf) -> None:
        """Lag from now on, for a number of reads at most."""
        self._served = vault.served
        self._before = vault.documents[GRANT_LOCATION]
        self._reads = reads
        vault.served = self.served  # type: ignore[method-assign]

    def begin(self) -> None:
        """Fall behind again."""
        self._reads = inf

    def end(self) -> None:
        """Catch up."""
        self._reads = 0

    def served(self, location: VaultLocation) -> tuple[Document | None, float]:
        """Return the version from before for the grant, and the newest one for all else."""
        newest, as_of = self._served(location)
        if not self._reads or location != GRANT_LOCATION:
            return newest, as_of
        self._reads -= 1
        return self._before, as_of


async def test_a_refused_intent_is_tried_again_after_a_growing_pause(around: Surroundings) -> None:
    """A standby of Vault that lags behind would otherwise cause thousands of refused writes."""
    lag = Lag(around.vault)
    around.vault.put(GRANT_LOCATION, refresh_token="seed", note="newer")
    task = asyncio.create_task(around.run())

    for refused in (1, 2, 3):
        await around.clock.next_sleep()
        assert refused == len(around.vault.writes)
        around.clock.turn(timedelta(seconds=2 ** (refused - 1)))
    await around.clock.next_sleep()
    lag.end()
    around.clock.turn(timedelta(seconds=8))
    await task

    assert ["seed"] == around.pipedrive.sent
    assert 4 + 2 == len(around.vault.writes)


async def test_a_result_that_a_lagging_vault_refuses_is_in_escrow_during_the_pause(around: Surroundings) -> None:
    """One conflict is resolved by a read; after a second one the new refresh token must not be in memory alone."""
    lag = Lag(around.vault)
    lag.end()
    task = await around.begin()
    around.vault.put(GRANT_LOCATION, refresh_token="seed", note="newer")
    lag.begin()
    around.pipedrive.answer()

    await around.clock.next_sleep()
    assert around.cluster.escrow
    assert 3 == len(around.vault.writes)
    lag.end()
    around.clock.turn(timedelta(seconds=2))
    await task

    assert ("refresh-1", "newer") == (
        around.stored.refresh_token.reveal(),
        around.vault.documents[GRANT_LOCATION].values["note"],
    )
    assert {} == around.cluster.escrow


async def test_a_lagging_vault_is_not_flooded_while_an_escrow_is_stored(around: Surroundings) -> None:
    """The read that lags shows a grant which the escrow succeeds, and each write over it is refused."""
    lag = Lag(around.vault)
    refreshed = Grant(refresh_token=SecretValue("refreshed"), refreshed_from=SecretValue("seed").digest())
    await around.escrow.keep(GRANT_LOCATION, refreshed, "us-0", SecretValue("hush"))
    around.vault.put(GRANT_LOCATION, refresh_token="seed", note="newer")
    around.pipedrive.alive = {"refreshed"}
    task = asyncio.create_task(around.run())

    await around.clock.next_sleep()
    assert 1 == len(around.vault.writes)
    lag.end()
    around.clock.turn(timedelta(seconds=2))
    await task

    assert ["refreshed"] == around.pipedrive.sent


async def test_a_grant_is_not_dead_if_a_write_shows_that_a_read_lags(around: Surroundings) -> None:
    """A person consented during the request, so the withdrawal of the intent is refused; the read after it is older."""
    task = await around.begin()
    Lag(around.vault, reads=1)
    around.vault.put(GRANT_LOCATION, refresh_token="consented")
    around.pipedrive.alive = {"consented"}
    around.pipedrive.answer()

    await around.in_time(task)

    assert ["seed", "consented"] == around.pipedrive.sent


async def test_a_dead_grant_is_sent_once_however_long_reads_lag(around: Surroundings) -> None:
    """Pipedrive answers after more than a moment, so that Vault is read before the intent is withdrawn."""
    lag = Lag(around.vault)
    task = await around.begin()
    around.pipedrive.alive = set()
    around.clock.turn(timedelta(seconds=2))
    around.pipedrive.answer()

    with pytest.raises(ConsentRequired):
        await around.in_time(task)

    lag.end()
    assert ["seed"] == around.pipedrive.sent
    assert around.stored.intent is None
