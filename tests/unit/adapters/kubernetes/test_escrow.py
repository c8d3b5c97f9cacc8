"""The escrow of one process while several of its tasks use it at once, and while admission changes it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from fakes.clock import TurnedClock
from fakes.cluster import FakeCluster
from fakes.escrow import NAMESPACE, EscrowSecrets
from pipedrive_operator.adapters.kubernetes.api import Body, Page
from pipedrive_operator.adapters.kubernetes.endpoints import Endpoint
from pipedrive_operator.adapters.kubernetes.escrow import KubernetesEscrow
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import GRANT_LOCATION, grant

KEY = SecretValue("hush")


@dataclass
class _Interrupted(EscrowSecrets):
    """Lets another task drop a copy while the list of copies is on its way."""

    escrow: KubernetesEscrow | None = None

    async def pages(self, endpoint: Endpoint, *, labels: str = "") -> AsyncIterator[Page]:
        """List the copies, drop one, and return the list."""
        async for page in super().pages(endpoint, labels=labels):
            if self.escrow is not None:
                await self.escrow.drop(GRANT_LOCATION, "first")
            yield page


async def test_a_copy_that_another_task_drops_during_a_read_is_gone() -> None:
    """The list does not contain it either, because another process has deleted it."""
    clock = TurnedClock()
    secrets = _Interrupted(FakeCluster(clock))
    escrow = KubernetesEscrow(secrets, NAMESPACE, clock)
    assert await escrow.keep(GRANT_LOCATION, grant(), "first", KEY)
    secrets.cluster.escrow.clear()
    secrets.escrow = escrow

    copies = await escrow.open(GRANT_LOCATION, KEY)

    assert copies == ()
    assert not escrow.holds(GRANT_LOCATION)


async def test_a_copy_that_no_list_will_show_does_not_count_as_kept() -> None:
    """Admission has replaced the labels of the Secret."""
    cluster = FakeCluster()
    cluster.admission = lambda body: body | {"metadata": body["metadata"] | {"labels": {"team": "platform"}}}
    escrow = KubernetesEscrow(EscrowSecrets(cluster), NAMESPACE, TurnedClock())

    assert not await escrow.keep(GRANT_LOCATION, grant(), "first", KEY)


@dataclass
class _Slow(EscrowSecrets):
    """Creates a copy only after the list of copies was made, or after it has arrived."""

    ends_before_the_list_arrives: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    keeping: asyncio.Task[bool] | None = None

    async def create(self, endpoint: Endpoint, body: Mapping[str, Any]) -> Body:
        """Wait, and create the copy."""
        await self.gate.wait()
        return await super().create(endpoint, body)

    async def pages(self, endpoint: Endpoint, *, labels: str = "") -> AsyncIterator[Page]:
        """List the copies, and return the list."""
        async for page in super().pages(endpoint, labels=labels):
            if self.ends_before_the_list_arrives and self.keeping is not None:
                self.gate.set()
                assert await self.keeping
            yield page


@pytest.mark.parametrize("loads", [True, False], ids=["load", "open"])
@pytest.mark.parametrize("ends_first", [True, False], ids=["kept before the list arrives", "kept after it"])
async def test_a_copy_that_is_being_created_during_a_read_is_not_forgotten(*, loads: bool, ends_first: bool) -> None:
    """The list was made before. A copy that nobody knows would stay after Vault has stored its grant."""
    clock = TurnedClock()
    secrets = _Slow(FakeCluster(clock), ends_first)
    escrow = KubernetesEscrow(secrets, NAMESPACE, clock)
    keeping = secrets.keeping = asyncio.create_task(escrow.keep(GRANT_LOCATION, grant(), "first", KEY))
    await asyncio.sleep(0)

    await (escrow.load() if loads else escrow.open(GRANT_LOCATION, KEY))
    secrets.gate.set()

    assert await keeping
    assert await escrow.keep(GRANT_LOCATION, grant(), "first", KEY)
    await escrow.drop(GRANT_LOCATION, "first")
    assert {} == secrets.cluster.escrow


async def test_a_copy_that_is_dropped_while_all_are_listed_is_not_a_new_one() -> None:
    """The list was made before. The pauses of its grant would end for nothing."""
    clock = TurnedClock()
    secrets = _Interrupted(FakeCluster(clock))
    escrow = KubernetesEscrow(secrets, NAMESPACE, clock)
    assert await escrow.keep(GRANT_LOCATION, grant(), "first", KEY)
    secrets.escrow = escrow

    assert [] == await escrow.load()

    assert not escrow.holds(GRANT_LOCATION)
    assert not escrow.appeared(GRANT_LOCATION)


async def test_a_grant_appears_once_when_another_process_has_kept_a_copy_of_it() -> None:
    """Only then may the copy solve what has failed."""
    cluster, other = FakeCluster(), VaultLocation(connection="default", mount="secret", path="other")
    escrow, theirs = (KubernetesEscrow(EscrowSecrets(cluster), NAMESPACE, TurnedClock()) for _ in range(2))
    assert await escrow.keep(other, grant(), "ours", KEY)
    assert await theirs.keep(GRANT_LOCATION, grant(), "theirs", KEY)

    await escrow.load()
    assert [True, False] == [escrow.appeared(location) for location in (GRANT_LOCATION, other)]

    await escrow.load()
    assert not escrow.appeared(GRANT_LOCATION)
