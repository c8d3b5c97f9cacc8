"""Helpers for tests of the Vault adapter with a real server."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.adapters.vault.http.circuit_breaker import LONGEST_PROBE_PAUSE
from pipedrive_operator.core.grant.document import OPERATOR, Document, VaultLocation
from pipedrive_operator.core.values.errors import Trouble, VaultUnavailable
from testbed.openbao import OpenBao


class ImpatientClock(TurnedClock):
    """A clock that a test advances; a sleep of less than a second ends at once."""

    async def sleep(self, seconds: float) -> None:
        """End at once, or wait until the clock is advanced far enough."""
        if seconds < 1:
            self.turn(timedelta(seconds=seconds))
        else:
            await super().sleep(seconds)


def requests_to(openbao: OpenBao, path: str) -> int:
    """Return how many requests for a path Vault has logged."""
    return sum(request.path == path for request in openbao.requests())


def rewrite(path: Path, text: str | None) -> str:
    """Replace the text of a file, or remove the file; return the former text."""
    before = path.read_text() if path.exists() else ""
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    return before


async def trouble_of(vault: VaultConnections, location: VaultLocation) -> Trouble:
    """Return the error that a read raises."""
    with pytest.raises(Trouble) as caught:
        await vault.read(location, OPERATOR)
    return caught.value


async def read_once_ready(vault: VaultConnections, location: VaultLocation) -> Document | None:
    """Read until the engine has finished its upgrade, which takes a moment."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await vault.read(location, OPERATOR)
            except VaultUnavailable as trouble:
                assert "is preparing a secrets engine" in trouble.message  # noqa: PT017  others are a failure
                await asyncio.sleep(0.05)


async def read_once_recovered(vault: VaultConnections, location: VaultLocation, clock: TurnedClock) -> Document | None:
    """Read until Vault has recovered, advancing the clock by the longest pause between the attempts."""
    async with asyncio.timeout(30):
        while True:
            clock.turn(LONGEST_PROBE_PAUSE)
            try:
                return await vault.read(location, OPERATOR)
            except VaultUnavailable:
                await asyncio.sleep(0.05)
