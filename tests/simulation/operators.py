"""One operator process, built as `wiring.py` builds it, on the models."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from fakes.consents import FakeConsents
from fakes.escrow import build_escrow
from fakes.leases import FakeLeases
from fakes.process import FakeProcess
from fakes.workloads import FakeWorkloads
from pipedrive_operator.adapters.kubernetes.escrow import KubernetesEscrow
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.consent_cache import ConsentCache
from pipedrive_operator.controller.consents import ConsentController
from pipedrive_operator.controller.controller import Controller
from pipedrive_operator.controller.leader_work import LeaderWork
from pipedrive_operator.controller.leadership import Election, LeaderElection, LeaseTimes
from pipedrive_operator.controller.queue import WorkQueue
from pipedrive_operator.controller.resync import resync
from pipedrive_operator.controller.shutdown import Refreshes, finish_refreshes, run_until
from pipedrive_operator.core.decision.sources import resolve
from pipedrive_operator.core.decision.timings import Timings
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.grant.refresh_state import RefreshState
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from pipedrive_operator.grants import GrantKeeper, RefreshProtocol
from pipedrive_operator.reconcile.consents import ConsentAddresses, ConsentPorts, ConsentReconciler
from pipedrive_operator.reconcile.observer import Ports
from pipedrive_operator.reconcile.reconciler import Reconciler
from simulation.loop import Process
from simulation.models import ClusterModel, PipedriveModel, SimulatedClock, VaultModel
from support.builders import GRANT_LOCATION, RULES

TIMINGS = Timings(poll_interval=timedelta(seconds=60), verify_interval=timedelta(seconds=100))
LEASE = LeaseTimes(retry_period=timedelta(seconds=5), standby_period=timedelta(seconds=4))
CALL_TIMEOUT = timedelta(seconds=8)
"""An answer is awaited for four times as long."""
WORKERS = 3
ADDRESSES = ConsentAddresses(
    oauth_url="https://oauth.pipedrive.com/oauth/authorize",
    public_url="https://connect.example.com",
    redirect_uris={},
)
RESYNC_INTERVAL = timedelta(seconds=45)
LONGEST_PROBE = 15.0
"""In seconds: how long after its return a process may still take Vault for unavailable."""
WATCH_GAPS = 0.1
"""The share of changes that a watch misses."""


@dataclass(frozen=True)
class Build:
    """The parts that make up an operator; a mutant replaces one."""

    protocol: type[RefreshProtocol] = RefreshProtocol
    keeper: type[GrantKeeper] = GrantKeeper
    reconciler: type[Reconciler] = Reconciler
    election: type[LeaderElection] = LeaderElection
    finish: Callable[[Refreshes, Election], Awaitable[None]] = finish_refreshes


@dataclass
class Operator:
    """One process of the operator."""

    process: Process
    cluster: ClusterModel
    vault: VaultModel
    pipedrive: PipedriveModel
    clock: SimulatedClock
    build: Build
    stop_requested: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by SIGTERM."""

    async def run(self) -> None:
        """Do what `wiring.run` does."""
        clock = self.clock
        queue = WorkQueue(clock, workers=WORKERS)
        cache = Cache(lambda credential: resolve(credential, RULES))
        leases, holder = FakeLeases(self.cluster), self.process.name
        election = self.build.election(leases=leases, clock=clock, holder=holder, times=LEASE)
        escrow = build_escrow(self.cluster)
        keeper = self._keeper(escrow, election, clock, queue)
        consent_cache = ConsentCache()
        ports = self._ports(cache, consent_cache, election, clock)
        reconciler = self.build.reconciler(ports=ports, keeper=keeper, timings=TIMINGS, on_verification=queue.add)
        controller = Controller(reconciler=reconciler, queue=queue, clock=clock)
        consents = self._consents(ports, keeper, reconciler, queue, consent_cache)
        self._watch(cache, controller, consents)
        self._probe_vault(reconciler, queue)
        leader_work = LeaderWork(
            controller=controller,
            escrow=escrow,
            refreshes=keeper,
            cache=cache,
            clock=clock,
            workers=WORKERS,
            escrow_interval=RESYNC_INTERVAL,
            consents=consents,
        )

        async def lead() -> None:
            self.vault.promises.leads(self.process.name)
            await leader_work.run()

        async def work() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._resync(cache, controller, consents))
                group.create_task(election.run(lead))

        await run_until(self.stop_requested, work(), keeper)
        await self.build.finish(keeper, election)

    def _keeper(
        self, escrow: KubernetesEscrow, election: Election, clock: SimulatedClock, queue: WorkQueue
    ) -> GrantKeeper:
        protocol = self.build.protocol(
            vault=self.vault,
            pipedrive=self.pipedrive,
            escrow=escrow,
            leadership=election,
            clock=clock,
            process=FakeProcess(self.process.name),
        )

        def wake(keys: frozenset[Key], _: RefreshState) -> None:
            for key in sorted(keys):  # the order of a set differs between interpreters
                queue.add(key)

        return self.build.keeper(protocol=protocol, clock=clock, on_change=wake)

    def _ports(self, cache: Cache, consents: ConsentCache, election: Election, clock: SimulatedClock) -> Ports:
        return Ports(
            cache=cache,
            consents=consents,
            vault=self.vault,
            pipedrive=self.pipedrive,
            secrets=self.cluster,
            workloads=FakeWorkloads(),
            credentials=self.cluster,
            leadership=election,
            clock=clock,
        )

    def _consents(
        self, ports: Ports, keeper: GrantKeeper, reconciler: Reconciler, queue: WorkQueue, cache: ConsentCache
    ) -> ConsentController:
        consents = FakeConsents(self.cluster)

        def wake(location: VaultLocation) -> None:
            for key in sorted(reconciler.exchange_ended(location)):
                queue.add(key)

        consent_ports = ConsentPorts(
            consents=consents,
            consent_cache=cache,
            cache=ports.cache,
            credentials=self.cluster,
            leadership=ports.leadership,
            clock=ports.clock,
        )
        consent_reconciler = ConsentReconciler(
            ports=consent_ports,
            keeper=keeper,
            addresses=ADDRESSES,
            source_of=reconciler.source,
            on_exchanged=wake,
            on_ended=lambda _: None,
        )
        queue_of_consents = WorkQueue(ports.clock, workers=WORKERS)
        return ConsentController(reconciler=consent_reconciler, queue=queue_of_consents, cache=cache, lister=consents)

    def _watch(self, cache: Cache, controller: Controller, consents: ConsentController) -> None:
        """Report changes late, and some not at all."""
        context = contextvars.copy_context()
        loop = asyncio.get_running_loop()

        def deliver(kind: str, event: str | None, body: Mapping[str, Any]) -> None:
            if kind == "consent":
                consents.handle_event(event, body)
                return
            see = cache.see_credential if kind == "credential" else cache.see_secret
            controller.enqueue(see(event, body) | cache.take_sharers())

        def watcher(kind: str, event: str | None, body: Mapping[str, Any]) -> None:
            weather = self.cluster.network
            if not weather.strikes(WATCH_GAPS):
                loop.call_later(weather.chance.uniform(0, 1), deliver, kind, event, body, context=context)

        self.cluster.watchers.append(watcher)

    def _probe_vault(self, reconciler: Reconciler, queue: WorkQueue) -> None:
        """Notice late that Vault is back, as the circuit breaker of the adapter does."""
        context = contextvars.copy_context()
        loop, weather = asyncio.get_running_loop(), self.vault.network

        def wake() -> None:
            for key in sorted(reconciler.vault_returned(GRANT_LOCATION.connection)):
                queue.add(key)

        weather.on_return.append(
            lambda: loop.call_later(weather.chance.uniform(0, LONGEST_PROBE), wake, context=context)
        )

    async def _resync(self, cache: Cache, controller: Controller, consents: ConsentController) -> None:
        while True:
            found = set[Key]()
            try:
                try:
                    await resync(self.cluster, cache, found)
                finally:
                    controller.enqueue(found)
                await consents.resync()
            except ApiServerUnavailable:
                await asyncio.sleep(2)
            else:
                await asyncio.sleep(RESYNC_INTERVAL.total_seconds())
