"""The faults that are injected while operators are killed, one kind after another. Every fault is recorded."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from chaos.cell import LEASE_SECONDS, Cell, Replica, Way
from chaos.evidence import Trouble
from chaos.surroundings import Environment
from testbed.processes import ProcessError

_SLOW_ANSWER: Final = 0.15
_SLOW_VAULT: Final = 0.03
STOPPED: Final = "stopped"


@dataclass(kw_only=True)
class Weather:
    """Injects and records the faults of a run."""

    environment: Environment
    cells: Sequence[Cell]
    chance: random.Random
    troubles: list[Trouble] = field(default_factory=list)

    @contextmanager
    def trouble(self, what: str, replica: Replica | None = None) -> Iterator[None]:
        """Record a fault for the duration of the block."""
        began = time.time()
        try:
            yield
        finally:
            name = replica.name if replica is not None else None
            self.troubles.append(Trouble(what=what, began=began, ended=time.time(), replica=name))

    def calm(self) -> None:
        """Do nothing."""
        time.sleep(1)

    def slow_pipedrive(self) -> None:
        """Delay Pipedrive's token endpoint, before or after it processes a request."""
        effect = self.chance.choice(["before", "after"])
        self.environment.pipedrive.add_fault("slow", endpoint="token", effect=effect, delay=_SLOW_ANSWER)
        time.sleep(self.chance.uniform(2, 4))
        self.environment.pipedrive.clear_faults()

    def slow_vault(self) -> None:
        """Delay all traffic between the operators and Vault."""
        links = [replica.links[Way.VAULT] for cell in self.cells for replica in cell.replicas]
        for link in links:
            link.delay(_SLOW_VAULT)
        time.sleep(self.chance.uniform(2, 4))
        for link in links:
            link.delay(0)

    def seal_vault(self) -> None:
        """Seal OpenBao for some seconds."""
        with self.trouble(Way.VAULT):
            self.environment.openbao.seal()
            time.sleep(self.chance.uniform(1, 4))
            self.environment.openbao.unseal()
        time.sleep(self.chance.uniform(3, 7))

    def kill_vault(self) -> None:
        """Kill OpenBao, and restart it."""
        with self.trouble(Way.VAULT):
            self.environment.openbao.kill()
            time.sleep(self.chance.uniform(0, 3))
            self.environment.openbao.start()
            self.environment.openbao.unseal()
        time.sleep(self.chance.uniform(3, 7))

    def restart_cluster(self) -> None:
        """Kill the API server, and restart it."""
        with self.trouble(Way.CLUSTER):
            self.environment.cluster.restart_apiserver()
        time.sleep(self.chance.uniform(4, 8))

    def cut_links(self) -> None:
        """Cut or block one link of one replica."""
        cell = self.chance.choice(self.cells)
        replica = cell.leader() or self.chance.choice(cell.replicas)
        way = self.chance.choice(list(Way))
        link = replica.links[way]
        with self.trouble(way, replica):
            self.chance.choice([link.cut, link.hang])()
            time.sleep(self.chance.uniform(1, 6))
            link.mend()
        time.sleep(self.chance.uniform(0, 2))

    def freeze_replicas(self) -> None:
        """Freeze a replica: a leader for longer than its Lease, a single replica for longer than a time-out."""
        cell = self.chance.choice(self.cells)
        replica = cell.leader() or self.chance.choice(cell.replicas)
        seconds = LEASE_SECONDS + 3 if len(cell.replicas) > 1 else self.chance.uniform(1, 8)
        with suppress(ProcessError), self.trouble(STOPPED, replica):
            replica.process.freeze()
            time.sleep(seconds)
            replica.process.thaw()
        time.sleep(self.chance.uniform(0, 2))


Kind = Callable[[Weather], None]
KINDS: Final[dict[str, Kind]] = {
    "calm": Weather.calm,
    "Pipedrive answers slowly": Weather.slow_pipedrive,
    "Vault answers slowly": Weather.slow_vault,
    "OpenBao is sealed": Weather.seal_vault,
    "OpenBao is killed": Weather.kill_vault,
    "the API server is restarted": Weather.restart_cluster,
    "links are cut": Weather.cut_links,
    "replicas are stopped": Weather.freeze_replicas,
}
QUIET_CLUSTER: Final = frozenset({"calm", "Pipedrive answers slowly", "Vault answers slowly"})
"""The kinds that do not affect leader election."""
