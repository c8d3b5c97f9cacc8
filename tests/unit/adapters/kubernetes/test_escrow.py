"""The escrow of one process while several of its tasks use it at once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from fakes.clock import TurnedClock
from fakes.cluster import FakeCluster
from fakes.escrow import NAMESPACE, EscrowSecrets
from pipedrive_operator.adapters.kubernetes.api import Page
from pipedrive_operator.adapters.kubernetes.endpoints import Endpoint
from pipedrive_operator.adapters.kubernetes.escrow import KubernetesEscrow
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
