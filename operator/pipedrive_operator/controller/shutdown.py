"""The orderly end of the process: send nothing more, store the results while holding the Lease, then release it.

The response to a refresh that was sent exists only in this process. What a refresh is, and how the Lease is held, is
decided elsewhere.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, Protocol

from pipedrive_operator.controller.leadership import Election
from pipedrive_operator.log import get_logger

STORE_TIMEOUT: Final = timedelta(seconds=45)
"""How long the process waits at its end for Vault to store refreshed grants; the kubelet kills it after a minute."""

_log = get_logger(__name__)


class Refreshes(Protocol):
    """The refreshes of this process."""

    def stop_sending(self) -> None:
        """Send nothing more: the result might arrive too late to be stored."""

    async def drain(self) -> None:
        """Wait until no refresh is in progress."""


async def run_until(stop_requested: asyncio.Event, work: Coroutine[Any, Any, None], refreshes: Refreshes) -> None:
    """Work until a stop is requested. Work that ends by itself has failed, and its error is raised.

    Sending stops first: ending the work takes a while, during which a refresh could still begin.
    """
    working = asyncio.create_task(work, name="supervisor")
    stopping = asyncio.create_task(stop_requested.wait(), name="stop signal")
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        refreshes.stop_sending()
        _log.info("stopping")
    finally:
        stopping.cancel()
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


async def finish_refreshes(
    refreshes: Refreshes, election: Election, *, store_timeout: timedelta = STORE_TIMEOUT
) -> None:
    """Start no more refreshes, and keep the Lease until those in progress are stored; then release it."""
    refreshes.stop_sending()
    try:
        async with asyncio.timeout(store_timeout.total_seconds()):
            await election.renew_until(refreshes.drain())
    except TimeoutError:
        _log.error("the process ends before Vault has stored a refreshed grant", seconds=store_timeout.total_seconds())
