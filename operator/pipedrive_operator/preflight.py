"""What `check` asks, one small question each, and what it finds. Nothing is changed, and every question is asked."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass
from functools import partial

from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.kubernetes import permissions
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.crd_version import UPGRADE, SchemaState, read_schema
from pipedrive_operator.adapters.kubernetes.escrow import KubernetesEscrow
from pipedrive_operator.adapters.kubernetes.lister import Lister
from pipedrive_operator.adapters.kubernetes.login_material import KubernetesLoginMaterial
from pipedrive_operator.adapters.kubernetes.session import operator_namespace
from pipedrive_operator.adapters.pipedrive import PipedriveApi
from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.adapters.vault.api import VaultApi
from pipedrive_operator.config.rules import rules_of
from pipedrive_operator.config.settings import Settings
from pipedrive_operator.core.decision.sources import GrantWithClient, Source, resolve
from pipedrive_operator.core.grant.confinement import folder, names_allow
from pipedrive_operator.core.grant.document import OPERATOR, TenantIdentity, VaultLocation
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable, InvalidSpec, Trouble
from pipedrive_operator.crd import crd


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer to one question."""

    step: str
    ok: bool
    detail: str
    remedy: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return it for machines."""
        return asdict(self)


def told(finding: Finding, *, unicode: bool) -> str:
    """Write a finding for people: a line, and below it what to do."""
    good, bad, arrow = ("✓", "✗", "→") if unicode else ("ok  ", "FAIL", "->")
    line = f"{good if finding.ok else bad} {finding.step}: {finding.detail}"
    return line if finding.ok or not finding.remedy else f"{line}\n  {arrow} {finding.remedy}"


async def examine(settings: Settings) -> list[Finding]:
    """Ask everything; the three outside systems at once."""
    groups = await asyncio.gather(_kubernetes(settings), _vaults(settings), _pipedrive(settings))
    return [finding for group in groups for finding in group]


async def _kubernetes(settings: Settings) -> list[Finding]:
    remedy = "set kubernetes.kubeconfig, or run in the cluster; check that the API server runs"
    try:
        async with await Api.connect(settings.kubernetes) as api:
            rights = await permissions.missing(api, _needed(settings))
            served = await read_schema(api, crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
            escrow = await _escrow(api, operator_namespace(settings.kubernetes))
    except ApiServerUnavailable as error:
        return [Finding(step="API server", ok=False, detail=str(error), remedy=remedy)]
    return [
        Finding(step="API server", ok=True, detail="reached"),
        Finding(
            step="CRD",
            ok=served.state is SchemaState.CURRENT,
            detail=served.message,
            remedy=UPGRADE,
        ),
        Finding(
            step="rights",
            ok=not rights,
            detail=f"missing: {'; '.join(str(right) for right in rights)}" if rights else "all that is needed",
            remedy="add the rules to the operator's Role or ClusterRole",
        ),
        escrow,
    ]


def _needed(settings: Settings) -> list[permissions.Permission]:
    """Return the rights that these settings need, each once."""
    namespace = operator_namespace(settings.kubernetes)
    rights = permissions.required(settings.kubernetes.namespaces) + permissions.required_for_escrow(namespace)
    if settings.leader_election.enabled:
        rights += permissions.required_for_election(Key(namespace=namespace, name=settings.leader_election.lease_name))
    if settings.rollout.enabled:
        rights += permissions.required_for_rollouts(settings.kubernetes.namespaces)
    return list(dict.fromkeys(rights))


async def _escrow(api: Api, namespace: str) -> Finding:
    """Count the refreshed grants that wait for Vault; one that may not be listed is told by the rights as well."""
    try:
        waiting = await KubernetesEscrow(api, namespace, SystemClock()).load()
    except ApiServerUnavailable as error:
        remedy = f"let the operator list Secrets in namespace {namespace}"
        return Finding(step="escrow", ok=False, detail=str(error), remedy=remedy)
    if not waiting:
        return Finding(step="escrow", ok=True, detail="no refreshed grant waits for Vault")
    count = "1 refreshed grant waits" if len(waiting) == 1 else f"{len(waiting)} refreshed grants wait"
    return Finding(
        step="escrow",
        ok=False,
        detail=f"{count} for Vault: {'; '.join(waiting)}",
        remedy=f"restore Vault's writes and let the operator run; delete nothing in namespace {namespace}",
    )


async def _vaults(settings: Settings) -> list[Finding]:
    """Ask each Vault, with what the cluster has for logging in, if it can be reached."""
    if not settings.vault.connections:
        remedy = "set vault.connections.default.address"
        return [Finding(step="Vault", ok=False, detail="no connection is configured", remedy=remedy)]
    async with AsyncExitStack() as stack:
        api = None
        with suppress(ApiServerUnavailable):
            api = await stack.enter_async_context(await Api.connect(settings.kubernetes))
        material = KubernetesLoginMaterial(api, operator_namespace(settings.kubernetes)) if api is not None else None
        servers = await stack.enter_async_context(VaultConnections(settings.vault, SystemClock(), material))
        sources = await _sources(settings, api) if api is not None else []
        checked = (_vault(name, server, settings, sources) for name, server in servers.connections.items())
        return [finding for findings in await asyncio.gather(*checked) for finding in findings]


async def _vault(name: str, server: VaultApi, settings: Settings, sources: Sequence[Source]) -> list[Finding]:
    """Ask one Vault: whether it serves, whether each identity is let in, and what the operator may do there."""
    connection = settings.vault.connections[name]
    found = [
        await _asked(f"Vault {name}", server.require_unsealed, "reached and unsealed"),
        await _asked(f"Vault {name} login", server.log_in, f"logged in by {connection.auth.method}"),
    ]
    if all(finding.ok for finding in found):
        for mount in connection.mounts:
            ask = partial(server.require_mount, mount)
            found.append(await _asked(f"Vault {name} mount {mount}", ask, "KV version 2"))
        for location in samples(name, settings, sources):
            ask = partial(server.require_capabilities, location)
            found.append(await _asked(f"Vault {name} policy for {location}", ask, "read, create and update"))
    for identity in _tenants(name, sources):
        ask = partial(server.log_in, identity)
        found.append(await _asked(f"Vault {name} login of {identity}", ask, "logged in"))
    return found


def samples(name: str, settings: Settings, sources: Sequence[Source]) -> list[VaultLocation]:
    """Return a path below each prefix for each namespace that is watched; where all are, the grants that there are.

    A namespace that nobody uses may well have no policy.
    """
    connection, cluster = settings.vault.connections[name], settings.kubernetes.cluster_name or ""
    if not settings.kubernetes.namespaces:
        ours = {one.location for one in sources if isinstance(one, GrantWithClient) and one.identity == OPERATOR}
        return sorted((one for one in ours if one.connection == name), key=str)
    namespaces = [one for one in settings.kubernetes.namespaces if names_allow(connection.allowed_namespaces, one)]
    return [
        VaultLocation(connection=name, mount=mount, path=f"{folder(prefix, namespace, cluster)}example")
        for mount in connection.mounts
        for prefix in connection.path_prefixes
        for namespace in namespaces
    ]


def _tenants(name: str, sources: Sequence[Source]) -> list[TenantIdentity]:
    """Return who logs in to a connection besides the operator."""
    found = {one.identity for one in sources if one.location.connection == name}
    return sorted(identity for identity in found if isinstance(identity, TenantIdentity))


async def _sources(settings: Settings, api: Api) -> list[Source]:
    """Return what the credentials of the cluster name; one that names it wrongly is told by its own status."""
    found: list[Source] = []
    rules = rules_of(settings)
    with suppress(ApiServerUnavailable):
        async for page in Lister(api, settings.kubernetes.namespaces).list_credentials():
            for body in page.items:
                with suppress(InvalidSpec):
                    found.append(resolve(read_credential(body), rules))
    return found


async def _pipedrive(settings: Settings) -> list[Finding]:
    async with PipedriveApi(settings.pipedrive, SystemClock()) as pipedrive:
        return [await _asked("Pipedrive", pipedrive.reach, f"{settings.pipedrive.api_url} reached")]


async def _asked(step: str, ask: Callable[[], Awaitable[object]], good: str) -> Finding:
    """Ask, and take the trouble's own sentence apart into what is wrong and what to do."""
    try:
        await ask()
    except Trouble as trouble:
        detail, _, remedy = trouble.message.partition(": ")
        return Finding(step=step, ok=False, detail=detail, remedy=remedy)
    return Finding(step=step, ok=True, detail=good)
