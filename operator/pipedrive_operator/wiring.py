"""Builds the operator from its settings, runs it, and takes it apart again. The one place that knows every part.

No decision is made here, but for what must be finished before the process may end: what a refresh has won is stored.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from typing import Any, Final

import aiohttp

from pipedrive_operator import metrics
from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.crd_version import SchemaState, read_schema
from pipedrive_operator.adapters.kubernetes.credentials import KubernetesCredentials
from pipedrive_operator.adapters.kubernetes.escrow import KubernetesEscrow
from pipedrive_operator.adapters.kubernetes.leases import KubernetesLeases
from pipedrive_operator.adapters.kubernetes.lister import Lister
from pipedrive_operator.adapters.kubernetes.login_material import KubernetesLoginMaterial
from pipedrive_operator.adapters.kubernetes.secrets import KubernetesSecrets
from pipedrive_operator.adapters.kubernetes.session import open_session, operator_namespace
from pipedrive_operator.adapters.kubernetes.watch.thread import Watch
from pipedrive_operator.adapters.kubernetes.workloads import KubernetesWorkloads
from pipedrive_operator.adapters.pipedrive import PipedriveApi
from pipedrive_operator.adapters.process import SystemProcess
from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.config.rules import rules_of
from pipedrive_operator.config.settings import Settings
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.controller import Controller
from pipedrive_operator.controller.leader_work import LeaderWork
from pipedrive_operator.controller.leadership import Election, LeaderElection, SingleReplica, lease_times
from pipedrive_operator.controller.queue import WorkQueue
from pipedrive_operator.controller.supervisor import Supervisor
from pipedrive_operator.core.decision.sources import resolve
from pipedrive_operator.core.decision.timings import Timings
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.crd import crd
from pipedrive_operator.grants import GrantKeeper, RefreshProtocol
from pipedrive_operator.health import HealthServer
from pipedrive_operator.log import get_logger
from pipedrive_operator.ports import Clock, Escrow, Process
from pipedrive_operator.reconcile.observer import Ports
from pipedrive_operator.reconcile.reconciler import Reconciler

STORE_WITHIN: Final = timedelta(seconds=45)
"""How long the end of the process waits for Vault to take what a refresh has won; Kubernetes kills after a minute."""

_log = get_logger(__name__)


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        ApiServerUnavailable: there is no usable configuration for the API server.
    """
    stopped = _stop_signal()
    async with AsyncExitStack() as stack:
        clock, process, queue = SystemClock(), SystemProcess(), WorkQueue(SystemClock())
        api = await stack.enter_async_context(await Api.connect(settings.kubernetes))
        rules = rules_of(settings)
        election = _election(settings, api, clock, process)
        cache = Cache(lambda credential: resolve(credential, rules))
        vault = await stack.enter_async_context(_vault(settings, api, clock))
        ports = Ports(
            cache=cache,
            vault=vault,
            pipedrive=await stack.enter_async_context(PipedriveApi(settings.pipedrive, clock)),
            secrets=KubernetesSecrets(api),
            workloads=KubernetesWorkloads(api),
            credentials=KubernetesCredentials(api, clock, instance=process.holder),
            leadership=election,
            clock=clock,
        )
        escrow = KubernetesEscrow(api, operator_namespace(settings.kubernetes), clock)
        protocol = _protocol(settings, ports, escrow, process)
        keeper = GrantKeeper(protocol=protocol, clock=clock, on_change=_grant_changed(queue))
        stack.push_async_callback(_store_what_was_won, keeper, election)
        reconciler = Reconciler(ports=ports, keeper=keeper, timings=_timings(settings))
        vault.on_return = _vault_returned(reconciler, queue)
        controller = Controller(reconciler=reconciler, queue=queue, clock=clock)
        supervisor = _supervisor(settings, api, controller, cache, clock)
        await stack.enter_async_context(
            HealthServer(settings.http, live=supervisor.liveness, ready=supervisor.readiness)
        )
        metrics.show_queue(lambda: queue.depth, lambda: queue.oldest_age)
        leader_work = _leader_work(settings, controller, escrow, keeper=keeper, cache=cache, clock=clock)
        work = supervisor.run(_watch(settings, supervisor, clock), lambda: election.run(leader_work.run))
        await _until(stopped, work)


def _vault(settings: Settings, api: Api, clock: Clock) -> VaultConnections:
    """Let Vault's logins take what they need of the cluster; the two adapters do not know each other."""
    return VaultConnections(
        settings.vault, clock, KubernetesLoginMaterial(api, operator_namespace(settings.kubernetes))
    )


def _election(settings: Settings, api: Api, clock: Clock, process: SystemProcess) -> Election:
    wanted = settings.leader_election
    if not wanted.enabled:
        return SingleReplica()
    leases = KubernetesLeases(api, Key(namespace=operator_namespace(settings.kubernetes), name=wanted.lease_name))
    return LeaderElection(leases=leases, clock=clock, holder=process.holder, times=lease_times(wanted.lease_duration))


def _protocol(settings: Settings, ports: Ports, escrow: Escrow, process: Process) -> RefreshProtocol:
    return RefreshProtocol(
        vault=ports.vault,
        pipedrive=ports.pipedrive,
        escrow=escrow,
        leadership=ports.leadership,
        clock=ports.clock,
        process=process,
        call_timeout=settings.pipedrive.timeout,
    )


def _leader_work(
    settings: Settings,
    controller: Controller,
    escrow: KubernetesEscrow,
    *,
    keeper: GrantKeeper,
    cache: Cache,
    clock: Clock,
) -> LeaderWork:
    return LeaderWork(
        controller=controller,
        escrow=escrow,
        on_escrow=keeper.forget_all,
        cache=cache,
        clock=clock,
        workers=settings.controller.workers,
        escrow_interval=settings.controller.resync_interval,
    )


def _supervisor(settings: Settings, api: Api, controller: Controller, cache: Cache, clock: Clock) -> Supervisor:
    return Supervisor(
        controller=controller,
        cache=cache,
        lister=Lister(api, settings.kubernetes.namespaces),
        clock=clock,
        check_schema=lambda: _schema_problem(api),
        resync_interval=settings.controller.resync_interval,
    )


def _grant_changed(queue: WorkQueue) -> Callable[[frozenset[Key], refresh_state.RefreshState], None]:
    """Wake everybody who waits for a grant, and count how its refresh goes."""

    def wake(keys: frozenset[Key], flight: refresh_state.RefreshState) -> None:
        if not isinstance(flight, refresh_state.Refreshing):
            metrics.count_refresh(type(flight).__name__.lower())
        for key in keys:
            queue.add(key)

    return wake


def _vault_returned(reconciler: Reconciler, queue: WorkQueue) -> Callable[[str], None]:
    """Wake everybody who waits for a Vault, so that nobody need ask while it is away; the workers bound the rush."""

    def wake(connection: str) -> None:
        for key in reconciler.vault_returned(connection):
            queue.add(key)

    return wake


def _timings(settings: Settings) -> Timings:
    controller = settings.controller
    return Timings(
        poll_interval=controller.poll_interval,
        verify_interval=controller.verify_interval,
        restart_interval=settings.rollout.min_interval if settings.rollout.enabled else None,
    )


def _watch(settings: Settings, supervisor: Supervisor, clock: SystemClock) -> Watch:
    async def connect(middleware: aiohttp.ClientMiddlewareType) -> tuple[str, aiohttp.ClientSession]:
        return await open_session(settings.kubernetes, middleware)

    watch = Watch(
        connect,
        supervisor.handle_event,
        clock,
        on_interruption=supervisor.request_schema_check,
        namespaces=settings.kubernetes.namespaces,
    )
    metrics.show_watch(watch.age)
    return watch


async def _schema_problem(api: Api) -> str | None:
    """Say what is wrong with the served CRD; one that may not be read is taken for current, and told by `check`."""
    expected = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    served = await read_schema(api, expected)
    return None if served.state in {SchemaState.CURRENT, SchemaState.UNREADABLE} else served.message


def _stop_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


async def _until(stopped: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Work until told to stop; what ends by itself has failed, and its error is raised."""
    working = asyncio.create_task(work, name="supervisor")
    stopping = asyncio.create_task(stopped.wait(), name="stop signal")
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        _log.info("stopping")
    finally:
        stopping.cancel()
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


async def _store_what_was_won(keeper: GrantKeeper, election: Election) -> None:
    """Hold the end, and the Lease, for a refresh that is under way: its answer exists nowhere else. Then release."""
    keeper.begin_no_more()
    try:
        async with asyncio.timeout(STORE_WITHIN.total_seconds()):
            await election.renew_until(keeper.drain())
    except TimeoutError:
        _log.error("the process ends with a refresh that Vault has not taken", seconds=STORE_WITHIN.total_seconds())
