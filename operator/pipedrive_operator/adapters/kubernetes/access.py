"""Whether RBAC lets the operator do its work: asked before it starts, so that a missing rule has a name."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.endpoints import ACCESS_REVIEWS, EVENTS, LEASES, WORKLOADS
from pipedrive_operator.core.resource.names import GROUP, PLURAL, Key


@dataclass(frozen=True, slots=True)
class Permission:
    """One verb on one resource, in a namespace or (None) in all of them; on all objects, or on that of a name."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str | None = None
    name: str = ""

    def __str__(self) -> str:
        """Write it for people."""
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        whole = f"{resource}/{self.subresource}" if self.subresource else resource
        what = f"{whole} {self.name}" if self.name else whole
        return f"{self.verb} {what} in {f'namespace {self.namespace}' if self.namespace else 'all namespaces'}"


_NEEDED: Final = (
    *((verb, GROUP, PLURAL, "") for verb in ("list", "watch")),
    ("patch", GROUP, PLURAL, "status"),
    *((verb, "", "secrets", "") for verb in ("get", "list", "watch", "create", "patch", "delete")),
    ("create", EVENTS.group, EVENTS.plural, ""),
)


def needed(namespaces: Sequence[str] = ()) -> list[Permission]:
    """Return what the operator must be allowed to do in these namespaces; none means all."""
    scopes: Sequence[str | None] = namespaces or (None,)
    return [Permission(*rule, namespace) for namespace in scopes for rule in _NEEDED]


def needed_for_escrow(namespace: str) -> list[Permission]:
    """Return what the operator must be allowed to do where it keeps refreshed grants that Vault does not take."""
    verbs = ("get", "list", "create", "patch", "delete")
    return [Permission(verb, "", "secrets", namespace=namespace) for verb in verbs]


def needed_for_election(lease: Key) -> list[Permission]:
    """Return what the operator must be allowed to do with its Lease; a creation cannot be limited to a name."""
    return [
        Permission("create", LEASES.group, LEASES.plural, namespace=lease.namespace),
        *(
            Permission(verb, LEASES.group, LEASES.plural, namespace=lease.namespace, name=lease.name)
            for verb in ("get", "patch")
        ),
    ]


def needed_for_rollouts(namespaces: Sequence[str] = ()) -> list[Permission]:
    """Return what the operator must be allowed to do to restart workloads in these namespaces; none means all."""
    scopes: Sequence[str | None] = namespaces or (None,)
    return [
        Permission(verb, resource.group, resource.plural, namespace=namespace)
        for namespace in scopes
        for resource in WORKLOADS.values()
        for verb in ("get", "patch")
    ]


async def missing(api: Api, permissions: Sequence[Permission]) -> list[Permission]:
    """Return the permissions that the operator does not have. Raises ApiServerUnavailable."""
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
    answer = await api.create(ACCESS_REVIEWS.collection(), review)
    return bool(answer["status"]["allowed"])
