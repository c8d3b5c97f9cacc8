"""People who connect an account through the operator: they create a consent, press Accept, and bring the code back."""

import asyncio
import contextvars
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from fakes.consents import FakeConsents
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.secret_value import SecretValue
from simulation.models import EPOCH, ClusterModel
from support.builders import ACCOUNT

if TYPE_CHECKING:
    from simulation.simulated_world import World

ANOTHER: Final = Account(company_id=99, company_domain="other", user_id=7)
WRONG: Final = 0.15
"""How often a person accepts for another company."""
AGAIN: Final = 0.2
"""How often a person brings a second code back, from a second tab."""


class People:
    """People, whose browsers go on while operators crash."""

    def __init__(self, world: "World") -> None:
        """Know the world."""
        self.world = world
        self.chance = world.chance
        self._numbers = 0

    def connect(self) -> None:
        """Create a consent for a credential, and open its link some seconds later."""
        cluster = self.chance.choice(self.world.clusters)
        credential = self.chance.choice(sorted(cluster.credentials))
        self._numbers += 1
        key = Key(namespace=credential.namespace, name=f"consent-{self._numbers}")
        now = EPOCH + timedelta(seconds=asyncio.get_running_loop().time())
        created_at = now.replace(microsecond=0).isoformat().replace("+00:00", "Z")
        state = FakeConsents(cluster).create(key, credential=credential.name, created_at=created_at)
        self.world.history.note("world", f"creates {key} in {cluster.name}")
        self._later(lambda: self._accept(cluster, key, state))

    def _accept(self, cluster: ClusterModel, key: Key, state: SecretValue) -> None:
        """Press Accept if the link is ready, and bring the code back; look again later otherwise."""
        if key not in cluster.consents or self.world.storm_is_over:
            return
        if FakeConsents(cluster).get(key).status.url is not None:
            code = self.world.pipedrive.accept(ANOTHER if self.chance.random() < WRONG else ACCOUNT)
            self.world.history.note("world", f"brings {code.reveal()} back to {key}")
            FakeConsents(cluster).answer(key, code, state)
            if self.chance.random() > AGAIN:
                return
        self._later(lambda: self._accept(cluster, key, state))

    def _later(self, do: Callable[[], object]) -> None:
        # In a context of its own: what a person does is not done by the process that acts now.
        self.world.loop.call_later(self.chance.uniform(2, 20), do, context=contextvars.Context())
