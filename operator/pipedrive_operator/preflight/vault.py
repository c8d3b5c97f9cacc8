"""Checks of Vault: each connection, the logins of the operator and of tenants, the mounts and the policies."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial

from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.lister import Lister
from pipedrive_operator.adapters.kubernetes.login_material import KubernetesLoginMaterial
from pipedrive_operator.adapters.kubernetes.session import operator_namespace
from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.adapters.vault.api import VaultApi
from pipedrive_operator.config.rules import rules_of
from pipedrive_operator.config.settings import Settings
from pipedrive_operator.core.decision.sources import GrantWithClient, Source, resolve
from pipedrive_operator.core.grant.confinement import folder, names_allow
from pipedrive_operator.core.grant.document import OPERATOR, TenantIdentity, VaultLocation
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.values.errors import ApiServerUnavailable, InvalidSpec
from pipedrive_operator.preflight.finding import Finding, find


async def check_vaults(settings: Settings) -> list[Finding]:
    """Check each Vault connection. Secrets, tenants and credentials are read from the cluster if it can be reached."""
    if not settings.vault.connections:
        remedy = "set vault.connections.default.address"
        return [Finding(step="Vault", ok=False, detail="no connection is configured", remedy=remedy)]
    async with AsyncExitStack() as stack:
        api = None
        with suppress(ApiServerUnavailable):
            api = await stack.enter_async_context(await Api.connect(settings.kubernetes))
        material = KubernetesLoginMaterial(api, operator_namespace(settings.kubernetes)) if api is not None else None
        vaults = await stack.enter_async_context(VaultConnections(settings.vault, SystemClock(), material))
        sources = await _list_sources(settings, api) if api is not None else []
        checks = (_check_vault(name, vault, settings, sources) for name, vault in vaults.connections.items())
        return [finding for findings in await asyncio.gather(*checks) for finding in findings]


async def _check_vault(name: str, vault: VaultApi, settings: Settings, sources: Sequence[Source]) -> list[Finding]:
    """Check one Vault: that it serves, that each identity can log in, and what the operator may do there."""
    connection = settings.vault.connections[name]
    findings = [
        await find(f"Vault {name}", vault.require_unsealed, "reached and unsealed"),
        await find(f"Vault {name} login", vault.log_in, f"logged in with the method {connection.auth.method}"),
    ]
    if all(finding.ok for finding in findings):
        for mount in connection.mounts:
            check = partial(vault.require_mount, mount)
            findings.append(await find(f"Vault {name} mount {mount}", check, "KV version 2"))
        for location in locations_to_check(name, settings, sources):
            check = partial(vault.require_capabilities, location)
            findings.append(await find(f"Vault {name} policy for {location}", check, "allows read, create and update"))
    for identity in _tenants(name, sources):
        check = partial(vault.log_in, identity)
        findings.append(await find(f"Vault {name} login of {identity}", check, "logged in"))
    return findings


def locations_to_check(name: str, settings: Settings, sources: Sequence[Source]) -> list[VaultLocation]:
    """Return the locations of a connection at which the operator needs access.

    For each watched namespace, an example below each prefix. If all namespaces are watched, only the existing grants: a
    namespace without credentials needs no policy.
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
    """Return the tenants that log in to a connection."""
    identities = {one.identity for one in sources if one.location.connection == name}
    return sorted(identity for identity in identities if isinstance(identity, TenantIdentity))


async def _list_sources(settings: Settings, api: Api) -> list[Source]:
    """Return the sources of all credentials; a credential with an invalid spec has a status that says so."""
    sources: list[Source] = []
    rules = rules_of(settings)
    with suppress(ApiServerUnavailable):
        async for page in Lister(api, settings.kubernetes.namespaces).list_credentials():
            for body in page.items:
                with suppress(InvalidSpec):
                    sources.append(resolve(read_credential(body), rules))
    return sources
