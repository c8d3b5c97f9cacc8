"""The URL paths of the resources that the operator uses. No request is sent here."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from pipedrive_operator.core.resource.names import CONSENT_PLURAL, GROUP, PLURAL, VERSION, Key
from pipedrive_operator.core.resource.workload import WorkloadKind


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL path, and the resource under which its requests are counted."""

    resource: str
    path: str


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A resource in one API version. The core group is the empty string."""

    group: str
    version: str
    plural: str

    def collection(self, namespace: str | None = None) -> Endpoint:
        """Return the path of all objects in a namespace, or in the cluster."""
        root = f"/apis/{self.group}" if self.group else "/api"
        scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        return Endpoint(self.plural, f"{root}/{self.version}{scope}/{self.plural}")

    def named(self, name: str, *, namespace: str | None = None, subresource: str | None = None) -> Endpoint:
        """Return the path of one object, or of one of its subresources."""
        path = f"{self.collection(namespace).path}/{quote(name, safe='')}"
        if subresource is None:
            return Endpoint(self.plural, path)
        return Endpoint(f"{self.plural}_{subresource}", f"{path}/{subresource}")

    def at(self, key: Key, *, subresource: str | None = None) -> Endpoint:
        """Return the path of one namespaced object, or of one of its subresources."""
        return self.named(key.name, namespace=key.namespace, subresource=subresource)


SECRETS: Final = ResourceType("", "v1", "secrets")
CREDENTIALS: Final = ResourceType(GROUP, VERSION, PLURAL)
CONSENTS: Final = ResourceType(GROUP, VERSION, CONSENT_PLURAL)
SERVICE_ACCOUNTS: Final = ResourceType("", "v1", "serviceaccounts")
LEASES: Final = ResourceType("coordination.k8s.io", "v1", "leases")
EVENTS: Final = ResourceType("events.k8s.io", "v1", "events")
WORKLOADS: Final[Mapping[WorkloadKind, ResourceType]] = MappingProxyType(
    {
        WorkloadKind.DEPLOYMENT: ResourceType("apps", "v1", "deployments"),
        WorkloadKind.STATEFUL_SET: ResourceType("apps", "v1", "statefulsets"),
        WorkloadKind.DAEMON_SET: ResourceType("apps", "v1", "daemonsets"),
    }
)
DEFINITIONS: Final = ResourceType("apiextensions.k8s.io", "v1", "customresourcedefinitions")
ACCESS_REVIEWS: Final = ResourceType("authorization.k8s.io", "v1", "selfsubjectaccessreviews")
