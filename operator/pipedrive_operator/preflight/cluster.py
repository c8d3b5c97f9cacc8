"""Checks of the API server: the CRD, the operator's permissions, and grants that wait in escrow."""

from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.kubernetes import permissions
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.crd_version import UPGRADE, SchemaState, read_schema
from pipedrive_operator.adapters.kubernetes.escrow import KubernetesEscrow
from pipedrive_operator.adapters.kubernetes.session import operator_namespace
from pipedrive_operator.config.settings import Settings
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import ApiServerNotTrusted, ApiServerUnavailable
from pipedrive_operator.crd import resource_schema
from pipedrive_operator.preflight.finding import Finding


async def check_cluster(settings: Settings) -> list[Finding]:
    """Check all that the operator needs of the API server."""
    try:
        async with await Api.connect(settings.kubernetes) as api:
            return [
                Finding(step="API server", ok=True, detail="reached"),
                await _check_crd(api),
                await _check_permissions(api, settings),
                await _check_escrow(api, operator_namespace(settings.kubernetes)),
            ]
    except ApiServerNotTrusted as error:
        remedy = "correct the certificate authority in the kubeconfig, or the certificate of the API server"
        return [Finding(step="API server", ok=False, detail=str(error), remedy=remedy)]
    except ApiServerUnavailable as error:
        remedy = "set kubernetes.kubeconfig or run the operator in the cluster, and check that the API server runs"
        return [Finding(step="API server", ok=False, detail=str(error), remedy=remedy)]


async def _check_crd(api: Api) -> Finding:
    served = await read_schema(api, resource_schema())
    return Finding(step="CRD", ok=served.state is SchemaState.CURRENT, detail=served.message, remedy=UPGRADE)


async def _check_permissions(api: Api, settings: Settings) -> Finding:
    missing = await permissions.missing(api, _required_permissions(settings))
    if not missing:
        return Finding(step="permissions", ok=True, detail="all granted")
    detail = f"missing: {'; '.join(str(permission) for permission in missing)}"
    remedy = "add these rules to the operator's Role or ClusterRole"
    return Finding(step="permissions", ok=False, detail=detail, remedy=remedy)


def _required_permissions(settings: Settings) -> list[permissions.Permission]:
    """Return the permissions that these settings require, each once."""
    namespace = operator_namespace(settings.kubernetes)
    required = permissions.required(settings.kubernetes.namespaces) + permissions.required_for_escrow(namespace)
    if settings.leader_election.enabled:
        required += permissions.required_for_election(
            Key(namespace=namespace, name=settings.leader_election.lease_name)
        )
    if settings.rollout.enabled:
        required += permissions.required_for_rollouts(settings.kubernetes.namespaces)
    if settings.consent.enabled:
        required += permissions.required_for_consents(settings.kubernetes.namespaces)
    return list(dict.fromkeys(required))


async def _check_escrow(api: Api, namespace: str) -> Finding:
    """Count the grants in escrow. If they cannot be listed, the permissions show that as well."""
    try:
        grants = await KubernetesEscrow(api, namespace, SystemClock()).load()
    except ApiServerUnavailable as error:
        remedy = f"grant the operator permission to list Secrets in namespace {namespace}"
        return Finding(step="escrow", ok=False, detail=str(error), remedy=remedy)
    if not grants:
        return Finding(step="escrow", ok=True, detail="empty: Vault has stored every refreshed grant")
    count = "1 refreshed grant is" if len(grants) == 1 else f"{len(grants)} refreshed grants are"
    return Finding(
        step="escrow",
        ok=False,
        detail=f"{count} not stored in Vault yet: {'; '.join(grants)}",
        remedy=f"restore Vault's writes and keep the operator running; delete nothing in namespace {namespace}",
    )
