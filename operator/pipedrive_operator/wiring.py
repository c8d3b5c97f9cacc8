"""Builds the operator from its settings, runs it, and shuts it down. The only module that knows every part.

Nothing is decided here.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import aiohttp

from pipedrive_operator import metrics
from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.consents import KubernetesConsents
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
from pipedrive_operator.controller.consent_cache import ConsentCache
from pipedrive_operator.controller.consents import WORKERS as CONSENT_WORKERS
from pipedrive_operator.controller.consents import ConsentController
from pipedrive_operator.controller.controller import Controller
from pipedrive_operator.controller.inbox import Inbox
from pipedrive_operator.controller.leader_work import LeaderWork
from pipedrive_operator.controller.leadership import Election, LeaderElection, SingleReplica, lease_times
from pipedrive_operator.controller.queue import WorkQueue
from pipedrive_operator.controller.shutdown import finish_refreshes, run_until
from pipedrive_operator.controller.supervisor import Supervisor
from pipedrive_operator.core.decision.sources import resolve
from pipedrive_operator.core.decision.timings import Timings
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.crd import resource_schema
from pipedrive_operator.grants import GrantKeeper, RefreshProtocol
from pipedrive_operator.health import HealthServer
from pipedrive_operator.log import get_logger
from pipedrive_operator.ports import Leadership, Pipedrive, Vault
from pipedrive_operator.reconcile.consents import ConsentAddresses, ConsentPorts, ConsentReconciler
from pipedrive_operator.reconcile.observer import Ports
from pipedrive_operator.reconcile.reconciler import Reconciler
from pipedrive_operator.reconcile.uninstalls import Uninstalls

_USABLE: Final = frozenset({SchemaState.CURRENT, SchemaState.OUTDATED_RULES, SchemaState.UNREADABLE})
"""With outdated rules the operator works, because it enforces them itself."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """What the other parts are built on."""

    settings: Settings
    api: Api
    clock: SystemClock
    process: SystemProcess

    @property
    def namespace(self) -> str:
        """The operator's own namespace."""
        return operator_namespace(self.settings.kubernetes)


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        ApiServerUnavailable: no usable configuration for the API server was found.
    """
    stop_requested = _handle_signals()
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(await Api.connect(settings.kubernetes))
        base = _Base(settings=settings, api=api, clock=SystemClock(), process=SystemProcess())
        vault = await stack.enter_async_context(_vault(base))
        pipedrive = await stack.enter_async_context(PipedriveApi(settings.pipedrive, base.clock))
        cache, election = _cache(settings), _election(base)
        ports = _ports(base, cache, vault, pipedrive, election)

        queue = WorkQueue(base.clock, workers=settings.controller.workers)
        escrow = KubernetesEscrow(api, base.namespace, base.clock)
        keeper = _keeper(base, ports, escrow, queue)
        stack.push_async_callback(finish_refreshes, keeper, election)
        reconciler = Reconciler(ports=ports, keeper=keeper, timings=_timings(settings), on_verification=queue.add)
        stack.push_async_callback(reconciler.aclose)

        controller = Controller(reconciler=reconciler, queue=queue, clock=base.clock)
        vault.on_return = _on_vault_return(reconciler, controller, cache)
        consents = _consents(base, ports, keeper, reconciler, queue)
        leader_work = _leader_work(base, controller, escrow, keeper, cache=cache, consents=consents)
        supervisor = _supervisor(base, controller, cache, consents)
        watch = _watch(base, supervisor)
        uninstalls = Uninstalls(cache=cache, credentials=ports.credentials, keeper=keeper, clock=base.clock)
        await stack.enter_async_context(_health_server(settings, supervisor, uninstalls))
        metrics.show_queue(lambda: queue.depth, lambda: queue.oldest_age)
        metrics.show_watch(watch.age)
        _show_insecure(settings)
        await run_until(stop_requested, supervisor.run(watch, lambda: election.run(leader_work.run)), keeper)


def _vault(base: _Base) -> VaultConnections:
    """Build the Vault adapter with access to the cluster's Secrets and ServiceAccounts, which logins may need."""
    return VaultConnections(base.settings.vault, base.clock, KubernetesLoginMaterial(base.api, base.namespace))


def _cache(settings: Settings) -> Cache:
    rules = rules_of(settings)
    return Cache(lambda credential: resolve(credential, rules))


def _election(base: _Base) -> Election:
    settings = base.settings.leader_election
    if not settings.enabled:
        return SingleReplica()
    return LeaderElection(
        leases=KubernetesLeases(base.api, Key(namespace=base.namespace, name=settings.lease_name)),
        clock=base.clock,
        holder=base.process.holder,
        times=lease_times(settings.lease_duration),
    )


def _ports(base: _Base, cache: Cache, vault: Vault, pipedrive: Pipedrive, leadership: Leadership) -> Ports:
    return Ports(
        cache=cache,
        vault=vault,
        pipedrive=pipedrive,
        secrets=KubernetesSecrets(base.api),
        workloads=KubernetesWorkloads(base.api),
        credentials=KubernetesCredentials(base.api, base.clock, instance=base.process.holder),
        leadership=leadership,
        clock=base.clock,
        consents=ConsentCache() if base.settings.consent.enabled else None,
    )


def _keeper(base: _Base, ports: Ports, escrow: KubernetesEscrow, queue: WorkQueue) -> GrantKeeper:
    protocol = RefreshProtocol(
        vault=ports.vault,
        pipedrive=ports.pipedrive,
        escrow=escrow,
        leadership=ports.leadership,
        clock=base.clock,
        process=base.process,
    )
    return GrantKeeper(protocol=protocol, clock=base.clock, on_change=_on_refresh_change(queue))


def _on_refresh_change(queue: WorkQueue) -> Callable[[frozenset[Key], refresh_state.RefreshState], None]:
    """Return what to do when a refresh changes state: count its outcome, and reconcile the credentials that wait."""

    def reconcile(keys: frozenset[Key], state: refresh_state.RefreshState) -> None:
        if not isinstance(state, refresh_state.Refreshing | refresh_state.Idle):
            metrics.count_refresh(type(state).__name__.lower())
        for key in keys:
            queue.add(key)

    return reconcile


def _on_vault_return(reconciler: Reconciler, controller: Controller, cache: Cache) -> Callable[[str], None]:
    """Return what to do when a Vault is available again: reconcile the credentials that wait for it.

    Few of them poll while Vault is away, and the number of workers limits the load when it is back. What is due for a
    refresh comes before what is only read again.
    """

    def reconcile(connection: str) -> None:
        controller.enqueue_by_urgency(reconciler.vault_returned(connection), cache)

    return reconcile


def _timings(settings: Settings) -> Timings:
    controller = settings.controller
    return Timings(
        poll_interval=controller.poll_interval,
        verify_interval=controller.verify_interval,
        restart_interval=settings.rollout.min_interval if settings.rollout.enabled else None,
    )


def _leader_work(
    base: _Base,
    controller: Controller,
    escrow: KubernetesEscrow,
    keeper: GrantKeeper,
    *,
    cache: Cache,
    consents: ConsentController | None,
) -> LeaderWork:
    return LeaderWork(
        controller=controller,
        escrow=escrow,
        refreshes=keeper,
        cache=cache,
        clock=base.clock,
        workers=base.settings.controller.workers,
        escrow_interval=base.settings.controller.resync_interval,
        consents=consents,
    )


def _consents(
    base: _Base, ports: Ports, keeper: GrantKeeper, reconciler: Reconciler, queue: WorkQueue
) -> ConsentController | None:
    """Build what handles consents; None if the settings do not enable it."""
    settings = base.settings
    if not settings.consent.enabled or not isinstance(ports.consents, ConsentCache):
        return None

    def wake(location: VaultLocation) -> None:
        for key in reconciler.exchange_ended(location):
            queue.add(key)

    consent_reconciler = ConsentReconciler(
        ports=ConsentPorts(
            consents=KubernetesConsents(base.api),
            consent_cache=ports.consents,
            cache=ports.cache,
            credentials=ports.credentials,
            leadership=ports.leadership,
            clock=base.clock,
        ),
        keeper=keeper,
        addresses=ConsentAddresses(
            oauth_url=str(settings.pipedrive.oauth_url),
            public_url=settings.consent.public_address,
            redirect_uris={
                name: app.redirect_uri for name, app in settings.pipedrive.apps.items() if app.redirect_uri is not None
            },
        ),
        source_of=reconciler.source,
        on_exchanged=wake,
        on_ended=metrics.count_consent,
    )
    return ConsentController(
        reconciler=consent_reconciler,
        queue=WorkQueue(base.clock, workers=CONSENT_WORKERS),
        cache=ports.consents,
        lister=Lister(base.api, settings.kubernetes.namespaces),
    )


def _supervisor(base: _Base, controller: Controller, cache: Cache, consents: ConsentController | None) -> Supervisor:
    return Supervisor(
        controller=controller,
        cache=cache,
        lister=Lister(base.api, base.settings.kubernetes.namespaces),
        clock=base.clock,
        check_schema=lambda: _find_schema_problem(base.api),
        resync_interval=base.settings.controller.resync_interval,
        consents=consents,
    )


async def _find_schema_problem(api: Api) -> str | None:
    """Return what is wrong with the served CRD. If RBAC hides it, assume that it is current; `check` reports that."""
    served = await read_schema(api, resource_schema())
    metrics.show_outdated_rules(are_outdated=served.state is SchemaState.OUTDATED_RULES)
    if served.state is SchemaState.OUTDATED_RULES:
        _log.warning("the CRD is outdated", problem=served.message)
    return None if served.state in _USABLE else served.message


def _watch(base: _Base, supervisor: Supervisor) -> Watch:
    async def connect(middleware: aiohttp.ClientMiddlewareType) -> tuple[str, aiohttp.ClientSession]:
        return await open_session(base.settings.kubernetes, middleware)

    return Watch(
        connect,
        Inbox(supervisor.handle_event).receive,
        base.clock,
        on_interruption=supervisor.request_schema_check,
        on_list=supervisor.request_resync,
        namespaces=base.settings.kubernetes.namespaces,
        with_consents=base.settings.consent.enabled,
    )


def _show_insecure(settings: Settings) -> None:
    metrics.show_insecure(settings.plain_connections)
    for connection in settings.plain_connections:
        _log.warning("tokens travel over plain HTTP, because the setting insecure accepts it", connection=connection)


def _health_server(settings: Settings, supervisor: Supervisor, uninstalls: Uninstalls) -> HealthServer:
    return HealthServer(
        settings.http,
        live=supervisor.liveness,
        ready=supervisor.readiness,
        on_uninstall=uninstalls.take if settings.consent.enabled else None,
    )


def _handle_signals() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop_requested = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop_requested.set)
    return stop_requested
