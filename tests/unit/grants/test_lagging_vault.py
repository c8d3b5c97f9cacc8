"""The refresh protocol on a standby of Vault whose reads lag behind the writes."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from math import inf

import pytest

from fakes.pipedrive import Send
from fakes.vault import FakeVault
from pipedrive_operator.core.grant.document import Document, VaultLocation
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import ConsentRequired, RateLimited, TokenResponseUnusable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.grants.documents import LONGEST_LAG
from support.builders import GRANT_LOCATION, GRANT_SOURCE
from support.exchanges import ConsentSurroundings
from support.refresh import ORDER, Surroundings


class Lag:
    """A standby of Vault: its reads return what the grant's document was before, until it catches up."""

    def __init__(self, vault: FakeVault, *, reads: float = inf) -> None:
        """Lag from now on, for a number of reads at most."""
        self._vault = vault
        self._served = vault.served
        self._before = vault.documents[GRANT_LOCATION]
        self._reads = reads
        self.ends_at = inf
        """On the monotonic clock: when it catches up by itself."""
        vault.served = self.served  # type: ignore[method-assign]

    def begin(self, reads: float = inf) -> None:
        """Fall behind again."""
        self._reads = reads

    def keep(self) -> None:
        """Return from now on what the document is now."""
        self._before = self._vault.documents[GRANT_LOCATION]

    def end(self) -> None:
        """Catch up."""
        self._reads = 0

    @property
    def version(self) -> int:
        """The version that is returned."""
        return self._before.version

    def served(self, location: VaultLocation) -> tuple[Document | None, float]:
        """Return the version from before for the grant, and the newest one for all else."""
        newest, as_of = self._served(location)
        if not self._reads or location != GRANT_LOCATION or as_of >= self.ends_at:
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
    assert 2 == len(around.vault.writes)
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


async def test_a_grant_that_this_process_has_just_replaced_is_not_taken_for_a_newer_one(around: Surroundings) -> None:
    """A second refresh is requested at once, and the read before it shows the grant before the first one."""
    await around.run()
    lag = Lag(around.vault, reads=0)
    await around.protocol.run(replace(ORDER, replaces=around.stored.access_digest), around.states.append)
    lag.begin(reads=1)

    again = replace(ORDER, replaces=around.stored.access_digest)
    found = await around.in_time(around.protocol.run(again, around.states.append))

    assert SecretValue("refresh-3") == found.grant.refresh_token
    assert ["seed", "refresh-1", "refresh-2"] == around.pipedrive.sent


async def test_an_older_version_is_believed_in_the_end(around: Surroundings) -> None:
    """Vault was restored from a backup, and its version numbers with it."""
    await around.run()
    lag = Lag(around.vault)
    around.pipedrive.alive = {"refresh-1", "refresh-2"}
    await around.protocol.run(replace(ORDER, replaces=around.stored.access_digest), around.states.append)
    before = around.clock.monotonic()

    document = await around.in_time(
        around.protocol.parts.documents.find_document(GRANT_LOCATION, GRANT_SOURCE.identity)
    )

    assert document is not None
    assert document.version == lag.version
    assert around.clock.monotonic() - before > LONGEST_LAG.total_seconds()


async def test_a_consent_with_the_version_of_the_intent_is_not_overwritten_because_a_read_lags(
    around: Surroundings,
) -> None:
    """Vault's storage was put back to the version before the intent, and a person has consented since."""
    lag = Lag(around.vault, reads=0)
    before = around.vault.documents[GRANT_LOCATION]
    task = await around.begin()
    around.vault.documents[GRANT_LOCATION] = before
    around.vault.put(GRANT_LOCATION, refresh_token="consented")
    lag.begin(reads=1)
    around.clock.turn(timedelta(seconds=5))
    around.pipedrive.breaks = RateLimited("429")
    around.pipedrive.answer()

    with pytest.raises(RateLimited):
        await around.in_time(task)

    assert SecretValue("consented") == around.stored.refresh_token


async def test_the_newest_result_of_a_candidate_is_kept_although_a_read_shows_the_one_before_last() -> None:
    """The answers are half usable, so the candidate is renewed again and again."""
    around = ConsentSurroundings()
    lag = Lag(around.vault, reads=0)
    around.pipedrive.spoils_answers = 1.0

    def keep(send: Send, _: str) -> None:
        if not send.is_code:
            lag.keep()

    around.pipedrive.spends = keep  # type: ignore[method-assign,assignment]
    with pytest.raises(TokenResponseUnusable):
        await around.in_time(around.exchange.run(around.order(), around.claim))
    around.pipedrive.spoils_answers = 0.0

    def lag_behind(*_: object) -> None:
        around.clock.turn(timedelta(seconds=2))
        lag.begin(reads=1)

    around.pipedrive.spends = lag_behind  # type: ignore[method-assign,assignment]
    await around.in_time(around.run())

    assert {around.stored.refresh_token.reveal()} == around.pipedrive.alive


async def test_a_candidate_is_in_escrow_before_anybody_waits_for_a_standby() -> None:
    """Pipedrive was slow, so the document is read before the candidate is stored."""
    around = ConsentSurroundings()
    lag = Lag(around.vault, reads=0)
    task = await around.begin_exchange()
    lag.begin()
    around.clock.turn(timedelta(seconds=5))
    around.pipedrive.answer()

    await around.clock.next_sleep()

    assert around.cluster.escrow
    task.cancel()


@pytest.mark.parametrize("seconds", [0, 5])
async def test_a_stored_candidate_is_not_overlooked_because_a_standby_lags_for_a_while(seconds: int) -> None:
    """The exchange would be reported as uncertain, and the person asked to do it again."""
    around = ConsentSurroundings()
    lag = Lag(around.vault, reads=0)
    order = await around.die_with_a_candidate()
    lag.begin()
    lag.ends_at = around.clock.monotonic() + seconds

    found = await around.in_time(around.exchange.conclude(order))

    assert found.reason is ConsentReason.CONNECTED


async def test_a_version_that_was_read_elsewhere_in_the_process_counts(around: Surroundings) -> None:
    """A credential has read and published what another cluster refreshed."""
    await around.run()
    lag = Lag(around.vault, reads=0)
    values = dict(around.vault.documents[GRANT_LOCATION].values)
    around.vault.put(GRANT_LOCATION, **(values | {"access_token": "of another"}))
    around.protocol.parts.documents.note(GRANT_LOCATION, around.vault.documents[GRANT_LOCATION])
    lag.begin(reads=1)

    found = await around.in_time(around.run())

    assert found.token is not None
    assert SecretValue("of another") == found.token.value


async def test_of_two_versions_with_one_number_the_one_that_was_written_later_counts(around: Surroundings) -> None:
    """Vault's storage was put back, and a consent has got the number of a version that a standby shows still."""
    await around.run()
    lag = Lag(around.vault, reads=0)
    former = around.vault.documents[GRANT_LOCATION]
    around.clock.turn(timedelta(seconds=1))
    newer = replace(former, created_at=around.clock.now(), values={"refresh_token": "consented"})
    around.vault.documents[GRANT_LOCATION] = newer
    documents = around.protocol.parts.documents
    documents.note(GRANT_LOCATION, newer)
    lag.begin(reads=1)

    found = await around.in_time(documents.find_document(GRANT_LOCATION, GRANT_SOURCE.identity))

    assert newer == found


async def test_an_older_version_is_believed_once_it_is_shown_for_longer_than_a_server_may_lag(
    around: Surroundings,
) -> None:
    """Vault was restored from a backup."""
    documents, older = around.protocol.parts.documents, around.vault.documents[GRANT_LOCATION]
    await around.run()

    around.clock.turn(timedelta(hours=1))
    first = documents.note(GRANT_LOCATION, older)
    around.clock.turn(LONGEST_LAG)
    still = documents.note(GRANT_LOCATION, older)
    around.clock.turn(timedelta(seconds=1))

    assert (False, False, True) == (first, still, documents.note(GRANT_LOCATION, older))


async def test_a_server_that_lags_now_and_then_is_not_believed(around: Surroundings) -> None:
    """In between, Vault has shown the newest version again."""
    documents, older = around.protocol.parts.documents, around.vault.documents[GRANT_LOCATION]
    await around.run()
    around.clock.turn(timedelta(hours=1))
    assert not documents.note(GRANT_LOCATION, older)
    assert documents.note(GRANT_LOCATION, around.vault.documents[GRANT_LOCATION])
    around.clock.turn(timedelta(minutes=5))

    assert not documents.note(GRANT_LOCATION, older)
