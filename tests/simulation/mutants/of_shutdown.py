"""Operators without one rule of shutdown or leadership. A mutant overrides one step, as in `of_refreshes.py`."""

from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace

from pipedrive_operator.controller.leadership import Election, LeaderElection
from pipedrive_operator.controller.shutdown import STORE_TIMEOUT, Refreshes, finish_refreshes
from pipedrive_operator.core.values.errors import ApiServerUnavailable, LeaseChanged
from pipedrive_operator.grants import GrantKeeper


class SendsDuringShutdown(GrantKeeper):
    """Shutdown: a refresh is sent although the process was asked to stop."""

    attacks = ("(g)",)

    def stop_sending(self) -> None:
        """Ignore the stop."""


class StoresNothingAtShutdown(GrantKeeper):
    """Shutdown: the process does not wait for the result of a refresh that it has sent."""

    attacks = ("(g)",)

    async def drain(self) -> None:
        """Wait for nothing."""


class GivesTheLeaseUpBeforeStoring(LeaderElection):
    """Shutdown: the Lease is not renewed while results are stored."""

    attacks = ("(g)",)

    async def renew_until(self, done: Awaitable[None]) -> None:
        """Wait without renewing."""
        try:
            await done
        finally:
            await self._release()


class ReleasesTheLeaseOfAnother(LeaderElection):
    """Shutdown: the Lease is released, whichever process holds it."""

    attacks = ("(g)",)

    async def _release(self) -> None:
        with suppress(ApiServerUnavailable, LeaseChanged):
            current = await self._leases.read()
            if current is not None:
                await self._leases.write(replace(current, holder=""))


async def stops_early(refreshes: Refreshes, election: Election) -> None:
    """Shutdown: the process waits for a tenth of the time."""
    await finish_refreshes(refreshes, election, store_timeout=STORE_TIMEOUT / 10)
