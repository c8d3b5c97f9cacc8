"""What `check` asks, one small question each, and what it finds. Nothing is changed, and every question is asked."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.kubernetes import access
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.connection import operator_namespace
from pipedrive_operator.adapters.kubernetes.escrow import KubernetesEscrow
from pipedrive_operator.adapters.kubernetes.schema import UPGRADE, SchemaState, read_schema
from pipedrive_operator.adapters.pipedrive import PipedriveApi
from pipedrive_operator.adapters.vault import VaultServers
from pipedrive_operator.core.credential import Key
from pipedrive_operator.core.errors import ApiServerUnavailable, Trouble
from pipedrive_operator.crd import crd
from pipedrive_operator.settings import Settings


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
            rights = await access.missing(api, _needed(settings))
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


def _needed(settings: Settings) -> list[access.Permission]:
    """Return the rights that these settings need, each once."""
    namespace = operator_namespace(settings.kubernetes)
    rights = access.needed(settings.kubernetes.namespaces) + access.needed_for_escrow(namespace)
    if settings.leader_election.enabled:
        rights += access.needed_for_election(Key(namespace=namespace, name=settings.leader_election.lease_name))
    if settings.rollout.enabled:
        rights += access.needed_for_rollouts(settings.kubernetes.namespaces)
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
    if not settings.vault.connections:
        remedy = "set vault.connections.default.address"
        return [Finding(step="Vault", ok=False, detail="no connection is configured", remedy=remedy)]
    async with VaultServers(settings.vault, SystemClock()) as servers:
        return [
            finding
            for name, server in servers.connections.items()
            for finding in (
                await _asked(f"Vault {name}", server.require_unsealed, "reached and unsealed"),
                await _asked(f"Vault {name} login", server.log_in, "logged in"),
            )
        ]


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
