"""The API server: the models of what is in it, and the adapters at the end of a wire to a real one."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from contracts.wire import Loss, Wire, lose
from fakes.cluster import FakeCluster
from fakes.escrow import FakeEscrow
from fakes.leases import FakeLeases
from fakes.merge_patch import merged
from fakes.network import Network
from fakes.workloads import FakeWorkloads
from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.credentials import KubernetesCredentials
from pipedrive_operator.adapters.kubernetes.endpoints import CREDENTIALS, SECRETS
from pipedrive_operator.adapters.kubernetes.escrow import LABEL, KubernetesEscrow
from pipedrive_operator.adapters.kubernetes.leases import KubernetesLeases
from pipedrive_operator.adapters.kubernetes.lister import Lister
from pipedrive_operator.adapters.kubernetes.secrets import KubernetesSecrets
from pipedrive_operator.adapters.kubernetes.workloads import KubernetesWorkloads
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.resource.credential import AnyCredential, read_credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.workload import WorkloadReference
from pipedrive_operator.core.values.errors import WorkloadDenied
from pipedrive_operator.ports import Credentials, Escrow, Leases, Secrets, Workloads
from support.manifests import credential, published_secret, workload
from testbed.control_plane import ControlPlane

SPEC: dict[str, Any] = {"apiToken": {"path": "pipedrive/crm/acme"}}


class KeptEscrow(Escrow, Protocol):
    """The port, and how a process begins to use it."""

    async def load(self) -> list[str]:
        """List what former processes have left."""


class ClusterPart(Protocol):
    """One namespace of one API server, that can be arranged."""

    namespace: str

    @property
    def secrets(self) -> Secrets:
        """What is under contract."""

    @property
    def credentials(self) -> Credentials:
        """What is under contract."""

    @property
    def leases(self) -> Leases:
        """What is under contract: the Lease of that namespace."""

    @property
    def workloads(self) -> Workloads:
        """The port under contract, with all permissions."""

    def workloads_without_rights(self) -> AbstractAsyncContextManager[Workloads]:
        """Return the port under contract, for a user to whom RBAC grants nothing."""

    def escrow(self) -> KeptEscrow:
        """Return what is under contract, as another process knows it each time."""

    async def lose(self, loss: Loss) -> None:
        """Lose what is sent from now on."""

    def heal(self) -> None:
        """Let everything be well."""

    async def put_credential(self, name: str) -> AnyCredential:
        """Create a credential, as a person does."""

    async def put_secret(self, name: str, **changes: Any) -> None:
        """Create or replace a Secret, as a person does."""

    async def delete_secret(self, name: str) -> None:
        """Delete a Secret, as a person does."""

    async def delete_lease(self) -> None:
        """Delete the Lease, as a person does."""

    async def delete_escrow(self, location: VaultLocation) -> None:
        """Delete what is in escrow, as a person does."""

    async def put_workload(self, reference: WorkloadReference, annotations: Mapping[str, str]) -> None:
        """Create a workload, as a person would."""

    async def touch_workload(self, reference: WorkloadReference) -> None:
        """Change something else in a workload, as its controller would."""

    async def delete_workload(self, reference: WorkloadReference) -> None:
        """Delete a workload, as a person would."""

    async def in_escrow(self) -> int:
        """Count the escrows in the cluster, including those that this process does not know."""

    async def reasons(self) -> list[str]:
        """Return the reasons of all Events."""

    async def listed_secrets(self) -> dict[str, int]:
        """Return the names of the listed Secrets with their resourceVersions; the list's own has no name."""

    async def listed_credentials(self) -> dict[str, int]:
        """Return the names of the listed credentials with their resourceVersions; the list's own has no name."""


async def listed(pages: AsyncIterator[Any], namespace: str) -> dict[str, int]:
    """Read all pages of a list."""
    found: dict[str, int] = {}
    async for page in pages:
        found[""] = page.resource_version
        metadata = [item["metadata"] for item in page.items]
        found |= {one["name"]: int(one["resourceVersion"]) for one in metadata if one["namespace"] == namespace}
    return found


@dataclass
class FakedCluster:
    """The fakes."""

    namespace: str = "crm"
    cluster: FakeCluster = field(default_factory=FakeCluster)

    def __post_init__(self) -> None:
        """Build them."""
        self.secrets = self.credentials = self.cluster
        self.leases = FakeLeases(self.cluster)
        self.workloads = FakeWorkloads(self.namespace)

    @asynccontextmanager
    async def workloads_without_rights(self) -> AsyncIterator[FakeWorkloads]:
        """Deny every request for a while."""
        self.workloads.breaks = WorkloadDenied("deployments.apps is forbidden")
        yield self.workloads
        self.workloads.breaks = None

    def escrow(self) -> FakeEscrow:
        """Start a process."""
        return FakeEscrow(self.cluster)

    async def lose(self, loss: Loss) -> None:
        """Lose."""
        lose(self.cluster.network, loss)
        lose(self.workloads.network, loss)

    def heal(self) -> None:
        """Heal."""
        self.cluster.network = Network()
        self.workloads.network = Network()

    async def put_credential(self, name: str) -> AnyCredential:
        """Create as the world does."""
        body = credential(name, SPEC, namespace=self.namespace)
        served = {"creationTimestamp": "2026-03-01T00:00:00Z", "generation": 1}
        self.cluster.apply(body | {"metadata": body["metadata"] | served, "status": {"observedGeneration": -1}})
        return read_credential(self.cluster.credentials[self._key(name)])

    async def put_secret(self, name: str, **changes: Any) -> None:
        """Create or replace."""
        current = self.cluster.secrets.get(self._key(name), {})
        self.cluster.put_secret(merged(current, published_secret(self.namespace, name, **changes)))

    async def delete_secret(self, name: str) -> None:
        """Delete."""
        self.cluster.delete_secret(self._key(name))

    async def delete_lease(self) -> None:
        """Delete."""
        self.cluster.lease = None

    async def delete_escrow(self, location: VaultLocation) -> None:
        """Delete."""
        del self.cluster.escrow[location]

    async def put_workload(self, reference: WorkloadReference, annotations: Mapping[str, str]) -> None:
        """Create the fake's workload."""
        self.workloads.put(reference, allows="", **annotations)

    async def touch_workload(self, reference: WorkloadReference) -> None:
        """Give the workload the next resourceVersion."""
        self.workloads.touch(reference)

    async def delete_workload(self, reference: WorkloadReference) -> None:
        """Remove the fake's workload."""
        del self.workloads.objects[reference]

    async def in_escrow(self) -> int:
        """Count."""
        return len(self.cluster.escrow)

    async def reasons(self) -> list[str]:
        """Look."""
        return [event.reason for event in self.cluster.events]

    async def listed_secrets(self) -> dict[str, int]:
        """List."""
        return await listed(self.cluster.list_secrets(), self.namespace)

    async def listed_credentials(self) -> dict[str, int]:
        """List."""
        return await listed(self.cluster.list_credentials(), self.namespace)

    def _key(self, name: str) -> Key:
        return Key(namespace=self.namespace, name=name)


@dataclass
class RealCluster:
    """The adapters, and an administrator who goes another way."""

    namespace: str
    api: Api
    administrator: Api
    control_plane: ControlPlane
    wire: Wire

    def __post_init__(self) -> None:
        """Build the adapters."""
        self.secrets = KubernetesSecrets(self.api)
        self.credentials = KubernetesCredentials(self.api, SystemClock(), instance="operator-0")
        self.leases = KubernetesLeases(self.api, self._key("leader"))
        self.workloads = KubernetesWorkloads(self.api)

    @asynccontextmanager
    async def workloads_without_rights(self) -> AsyncIterator[KubernetesWorkloads]:
        """Connect as a user without any role."""
        kubeconfig = self.control_plane.kubeconfig_for("stranger")
        async with await Api.connect(KubernetesSettings(kubeconfig=kubeconfig)) as api:
            yield KubernetesWorkloads(api)

    def escrow(self) -> KubernetesEscrow:
        """Start a process."""
        return KubernetesEscrow(self.api, self.namespace, SystemClock())

    async def lose(self, loss: Loss) -> None:
        """Lose; a connection is open by then."""
        await self.secrets.read(self._key("absent"))
        self.wire.loses = loss

    def heal(self) -> None:
        """Heal."""
        self.wire.loses = Loss.NOTHING

    async def put_credential(self, name: str) -> AnyCredential:
        """Create."""
        body = credential(name, SPEC, namespace=self.namespace)
        return read_credential(await self.administrator.create(CREDENTIALS.collection(self.namespace), body))

    async def put_secret(self, name: str, **changes: Any) -> None:
        """Create or replace."""
        body = published_secret(self.namespace, name, **changes)
        if await self.administrator.get(SECRETS.at(self._key(name))) is None:
            await self.administrator.create(SECRETS.collection(self.namespace), body)
        else:
            await self.administrator.merge_patch(SECRETS.at(self._key(name)), body)

    async def delete_secret(self, name: str) -> None:
        """Delete."""
        self._kubectl("delete", "secret", name)

    async def delete_lease(self) -> None:
        """Delete."""
        self._kubectl("delete", "lease", "leader")

    async def delete_escrow(self, location: VaultLocation) -> None:
        """Delete everything: no test has two."""
        assert location
        self._kubectl("delete", "secret", f"--selector={LABEL}")

    async def put_workload(self, reference: WorkloadReference, annotations: Mapping[str, str]) -> None:
        """Create the workload. No controller of workloads runs here, so nothing else writes to it."""
        body = workload(str(reference.kind), reference.name, **annotations)
        self._kubectl("create", "--filename=-", stdin=json.dumps(body))

    async def touch_workload(self, reference: WorkloadReference) -> None:
        """Set a label."""
        self._kubectl("label", str(reference.kind), reference.name, "touched=true")

    async def delete_workload(self, reference: WorkloadReference) -> None:
        """Delete the workload."""
        self._kubectl("delete", str(reference.kind), reference.name)

    async def in_escrow(self) -> int:
        """Count."""
        return len(self._items("secret", f"--selector={LABEL}"))

    async def reasons(self) -> list[str]:
        """Look."""
        return [item["reason"] for item in self._items("events.events.k8s.io")]

    async def listed_secrets(self) -> dict[str, int]:
        """List."""
        return await listed(Lister(self.api, [self.namespace]).list_secrets(), self.namespace)

    async def listed_credentials(self) -> dict[str, int]:
        """List."""
        return await listed(Lister(self.api, [self.namespace]).list_credentials(), self.namespace)

    def _key(self, name: str) -> Key:
        return Key(namespace=self.namespace, name=name)

    def _items(self, kind: str, *options: str) -> list[dict[str, Any]]:
        return list(json.loads(self._kubectl("get", kind, "--output=json", *options))["items"])

    def _kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.control_plane.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin)


@asynccontextmanager
async def real_cluster(control_plane: ControlPlane, namespace: str, folder: Path) -> AsyncIterator[RealCluster]:
    """Open the adapters to an API server that has the CRD."""
    port = urlsplit(control_plane.server).port
    assert port is not None
    kubeconfig = folder / "kubeconfig"
    async with Wire(port) as wire:
        near = f"https://127.0.0.1:{wire.port}"
        kubeconfig.write_text(control_plane.kubeconfig.read_text().replace(control_plane.server, near))
        async with (
            await Api.connect(KubernetesSettings(kubeconfig=kubeconfig)) as api,
            await Api.connect(KubernetesSettings(kubeconfig=control_plane.kubeconfig)) as administrator,
        ):
            yield RealCluster(namespace, api, administrator, control_plane, wire)
