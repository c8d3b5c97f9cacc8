"""The time for which a replica leads: what it tells ends with it."""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import pytest

from pipedrive_operator import metrics
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.tenure import Tenure
from pipedrive_operator.core.credential import Key
from support.builders import NOW
from support.fakes import TurnedClock


class Work:
    """Reports a credential, and works until it is cancelled."""

    def __init__(self) -> None:
        """Begin."""
        self.began = asyncio.Event()

    def look_at(self, keys: Iterable[Key]) -> None:
        """Take keys."""

    async def work(self, workers: int) -> None:
        """Work."""
        assert workers == 3
        times: dict[str, Any] = dict.fromkeys(("expires_at", "renewal_at", "refreshed_at", "verified_at"), NOW)
        metrics.credential_reported("crm", "led", reason="Published", ready=True, stalled=False, **times)
        self.began.set()
        await asyncio.Event().wait()


class Nothing:
    """No escrow."""

    async def load(self) -> list[str]:
        """List it."""
        return []


async def test_a_replica_that_lost_the_lease_tells_of_no_credential() -> None:
    """Whoever leads since tells of them, and two answers would contradict each other."""
    work = Work()
    cache = Cache(lambda _: None)
    tenure = Tenure(controller=cast("Any", work), escrow=Nothing(), cache=cache, clock=TurnedClock(), workers=3)
    serving = asyncio.ensure_future(tenure.serve())
    await work.began.wait()
    assert 'name="led"' in metrics.exposition().decode()

    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    assert 'name="led"' not in metrics.exposition().decode()
