"""The RBAC permissions that the operator needs, and which of them it lacks.

The API server is asked before work starts, so that a missing rule is reported by name.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipedrive_operator.adapters.kubernetes.api import Api, readable
from pipedrive_operator.adapters.kubernetes.endpoints import ACCESS_REVIEWS, EVENTS, LEASES, WORKLOADS
from pipedrive_operator.core.resource.names import CONSENT_PLURAL, GROUP, PLURAL, Key


@dataclass(frozen=True, slots=True)
class Permission:
    """One verb on one resource, in one namespace or (None) in all, on one named object or (empty) on every object."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str | None = None
    name: str = ""

    def __str__(self) -> str:
        """Describe it, such as `get leases.coordination.k8s.io leader in namespace operators`."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        whole = f"{resource}/{self.subresource}" if self.subresource else resource
        what = f"{whole} {self.name}" if self.name else whole
        return f"{self.verb} {what} in {f'namespace {self.namespace}' if self.namespace else 'all namespaces'}"


_REQUIRED: Final = (
    *((verb, GROUP, PLURAL, "") for verb in ("list", "watch")),
    ("patch", GROUP, PLURAL, "status"),
    *((verb, "", "secrets", "") for verb in ("get", "list", "watch", "create", "patch", "delete")),
    ("create", EVENTS.group, EVENTS.plural, ""),
)


def required(namespaces: Sequence[str] = ()) -> list[Permission]:
    """Return the permissions for credentials in these namespaces; none means all namespaces."""
    scopes: Sequence[str | None] = namespaces or (None,)
    return [Permission(*rule, namespace) for namespace in scopes for rule in _REQUIRED]


def required_for_escrow(namespace: str) -> list[Permission]:
    """Return the permissions for the escrow, which is kept in the operator's own namespace."""
    verbs = ("get", "list", "create", "delete")
    return [Permission(verb, "", "secrets", namespace=namespace) for verb in verbs]


def required_for_election(lease: Key) -> list[Permission]:
    """Return the permissions for the Lease. RBAC cannot limit a creation to one name."""
    return [
        Permission("create", LEASES.group, LEASES.plural, namespace=lease.namespace),
        *(
            Permission(verb, LEASES.group, LEASES.plural, namespace=lease.namespace, name=lease.name)
            for verb in ("get", "patch")
        ),
    ]


def required_for_rollouts(namespaces: Sequence[str] = ()) -> list[Permission]:
    """Return the permissions to restart workloads in these namespaces; none means all namespaces."""
    scopes: Sequence[str | None] = namespaces or (None,)
    return [
        Permission(verb, resource.group, resource.plural, namespace=namespace)
        for namespace in scopes
        for resource in WORKLOADS.values()
        for verb in ("get", "patch")
    ]


def required_for_front(namespaces: Sequence[str] = ()) -> list[Permission]:
    """Return all permissions of the consent front, in these namespaces; none means all namespaces."""
    scopes: Sequence[str | None] = namespaces or (None,)
    return [
        Permission(verb, GROUP, CONSENT_PLURAL, namespace=namespace)
        for namespace in scopes
        for verb in ("get", "patch")
    ]


def required_for_consents(namespaces: Sequence[str] = ()) -> list[Permission]:
    """Return the permissions to handle consents in these namespaces; none means all namespaces."""
    scopes: Sequence[str | None] = namespaces or (None,)
    rules = (*((verb, "") for verb in ("list", "watch", "delete")), ("patch", "status"))
    return [
        Permission(verb, GROUP, CONSENT_PLURAL, subresource, namespace)
        for namespace in scopes
        for verb, subresource in rules
    ]


async def missing(api: Api, permissions: Sequence[Permission]) -> list[Permission]:
    """Return the permissions that the operator lacks. Raises ApiServerUnavailable."""
    allowed = await asyncio.gather(*(_is_allowed(api, permission) for permission in permissions))
    return [permission for permission, granted in zip(permissions, allowed, strict=True) if not granted]


async def _is_allowed(api: Api, permission: Permission) -> bool:
    attributes = {
        "verb": permission.verb,
        "group": permission.group,
        "resource": permission.resource,
        "subresource": permission.subresource,
        "namespace": permission.namespace or "",
        "name": permission.name,
    }
    review = {
        "apiVersion": f"{ACCESS_REVIEWS.group}/{ACCESS_REVIEWS.version}",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    reviewed = await api.create(ACCESS_REVIEWS.collection(), review)
    with readable("SelfSubjectAccessReview"):
        return bool(reviewed["status"]["allowed"])
