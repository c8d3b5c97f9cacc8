"""The two implementations of the API server's ports: the fakes, and the adapters connected to a real API server.

The adapters connect through a lossy relay. An administrator with a connection of their own arranges the cluster.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from contracts.wire import Loss, Wire, lose
from fakes.cluster import FakeCluster
from fakes.escrow import build_escrow
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
from pipedrive_operator.core.resource.credential import AnyCredential, read_credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.workload import WorkloadReference
from pipedrive_operator.core.values.errors import WorkloadDenied
from pipedrive_operator.ports import Credentials, Escrow, Leases, Secrets, Workloads
from support.manifests import credential, published_secret, workload
from testbed.control_plane import ControlPlane

SPEC: dict[str, Any] = {"apiToken": {"path": "pipedrive/crm/acme"}}


class KeptEscrow(Escrow, Protocol):
    """The port, and the method by which a new process reads the escrows of earlier ones."""

    async def load(self) -> list[str]:
        """Return the escrows that earlier processes have left."""


class ClusterPart(Protocol):
    """One namespace of one API server, whose state a test controls."""

    namespace: str

    @property
    def secrets(self) -> Secrets:
        """The port of Secrets, under contract."""

    @property
    def credentials(self) -> Credentials:
        """The port of credentials, under contract."""

    @property
    def leases(self) -> Leases:
        """The port of Leases, under contract, for one Lease of that namespace."""

    @property
    def workloads(self) -> Workloads:
        """The port under contract, with all permissions."""

    def workloads_without_rights(self) -> AbstractAsyncContextManager[Workloads]:
        """Return the port under contract, for a user to whom RBAC grants nothing."""

    def escrow(self) -> KeptEscrow:
        """Return the port of escrows, under contract, as a new process uses it."""

    async def lose(self, loss: Loss) -> None:
        """Lose requests or responses from now on."""

    def heal(self) -> None:
        """Lose nothing any more."""

    async def put_credential(self, name: str) -> AnyCredential:
        """Create a credential, as a person would."""

    async def put_secret(self, name: str, **changes: Any) -> None:
        """Create or replace a Secret, as a person would."""

    async def delete_secret(self, name: str) -> None:
        """Delete a Secret, as a person would."""

    async def delete_lease(self) -> None:
        """Delete the Lease, as a person would."""

    async def delete_escrow(self) -> None:
        """Delete the whole escrow, as a person would."""

    async def put_workload(self, reference: WorkloadReference, annotations: Mapping[str, str]) -> None:
        """Create a workload, as a person would."""

    async def touch_workload(self, reference: WorkloadReference) -> None:
        """Change something else in a workload, as its controller would."""

    async def delete_workload(self, reference: WorkloadReference) -> None:
        """Delete a workload, as a person would."""

    async def in_escrow(self) -> int:
        """Return how many escrows the cluster holds, including those that this process has not read."""

    async def reasons(self) -> list[str]:
        """Return the reasons of all Events."""

    async def listed_secrets(self) -> dict[str, int]:
        """Return the resourceVersions of the listed Secrets by name; the list's own is under the empty name."""

    async def listed_credentials(self) -> dict[str, int]:
        """Return the resourceVersions of the listed credentials by name; the list's own is under the empty name."""


async def listed(pages: AsyncIterator[Any], namespace: str) -> dict[str, int]:
    """Read all pages of a list, and return the resourceVersions of the objects in the namespace."""
    found: dict[str, int] = {}
    async for page in pages:
        found[""] = page.resource_version
        metadata = [item["metadata"] for item in page.items]
        found |= {one["name"]: int(one["resourceVersion"]) for one in metadata if one["namespace"] == namespace}
    return found


@dataclass
class FakedCluster:
    """The fakes of unit tests and simulation."""

    namespace: str = "crm"
    cluster: FakeCluster = field(default_factory=FakeCluster)

    def __post_init__(self) -> None:
        """Connect the fakes with each other."""
        self.secrets = self.credentials = self.cluster
        self.leases = FakeLeases(self.cluster)
        self.workloads = FakeWorkloads(self.namespace)

    @asynccontextmanager
    async def workloads_without_rights(self) -> AsyncIterator[FakeWorkloads]:
        """Deny every request for a while."""
        self.workloads.breaks = WorkloadDenied("deployments.apps is forbidden")
        yield self.workloads
        self.workloads.breaks = None

    def escrow(self) -> KubernetesEscrow:
        """Return the escrow of a new process."""
        return build_escrow(self.cluster)

    async def lose(self, loss: Loss) -> None:
        """Lose requests or responses in the network of the fakes."""
        lose(self.cluster.network, loss)
        lose(self.workloads.network, loss)

    def heal(self) -> None:
        """Replace the network by one that loses nothing."""
        self.cluster.network = Network()
        self.workloads.network = Network()

    async def put_credential(self, name: str) -> AnyCredential:
        """Add the credential with the fields that an API server would set."""
        body = credential(name, SPEC, namespace=self.namespace)
        served = {"creationTimestamp": "2026-03-01T00:00:00Z", "generation": 1}
        self.cluster.apply(body | {"metadata": body["metadata"] | served, "status": {"observedGeneration": -1}})
        return read_credential(self.cluster.credentials[self._key(name)])

    async def put_secret(self, name: str, **changes: Any) -> None:
        """Store the Secret, merged into the present one."""
        current = self.cluster.secrets.get(self._key(name), {})
        self.cluster.put_secret(merged(current, published_secret(self.namespace, name, **changes)))

    async def delete_secret(self, name: str) -> None:
        """Remove the Secret."""
        self.cluster.delete_secret(self._key(name))

    async def delete_lease(self) -> None:
        """Remove the Lease."""
        self.cluster.lease = None

    async def delete_escrow(self) -> None:
        """Remove every Secret of the escrow."""
        self.cluster.escrow.clear()

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
        """Count the escrows of the fake."""
        return len(self.cluster.escrow)

    async def reasons(self) -> list[str]:
        """Return the reasons of the recorded Events."""
        return [event.reason for event in self.cluster.events]

    async def listed_secrets(self) -> dict[str, int]:
        """Read the fake's list of Secrets."""
        return await listed(self.cluster.list_secrets(), self.namespace)

    async def listed_credentials(self) -> dict[str, int]:
        """Read the fake's list of credentials."""
        return await listed(self.cluster.list_credentials(), self.namespace)

    def _key(self, name: str) -> Key:
        return Key(namespace=self.namespace, name=name)


@dataclass
class RealCluster:
    """The adapters behind a lossy relay, and an administrator with a direct connection."""

    namespace: str
    api: Api
    administrator: Api
    control_plane: ControlPlane
    wire: Wire

    def __post_init__(self) -> None:
        """Open the ports on the connection through the relay."""
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
        """Return the escrow of a new process."""
        return KubernetesEscrow(self.api, self.namespace, SystemClock())

    async def lose(self, loss: Loss) -> None:
        """Open a connection first, because a lost TLS handshake would hide the loss of a request."""
        await self.secrets.read(self._key("absent"))
        self.wire.loses = loss

    def heal(self) -> None:
        """Let the relay forward everything again."""
        self.wire.loses = Loss.NOTHING

    async def put_credential(self, name: str) -> AnyCredential:
        """Create the credential as administrator."""
        body = credential(name, SPEC, namespace=self.namespace)
        return read_credential(await self.administrator.create(CREDENTIALS.collection(self.namespace), body))

    async def put_secret(self, name: str, **changes: Any) -> None:
        """Create or patch the Secret as administrator."""
        body = published_secret(self.namespace, name, **changes)
        if await self.administrator.get(SECRETS.at(self._key(name))) is None:
            await self.administrator.create(SECRETS.collection(self.namespace), body)
        else:
            await self.administrator.merge_patch(SECRETS.at(self._key(name)), body)

    async def delete_secret(self, name: str) -> None:
        """Delete the Secret with kubectl."""
        self._kubectl("delete", "secret", name)

    async def delete_lease(self) -> None:
        """Delete the Lease with kubectl."""
        self._kubectl("delete", "lease", "leader")

    async def delete_escrow(self) -> None:
        """Delete every Secret of the escrow."""
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
        """Count the Secrets with the escrow's label."""
        return len(self._items("secret", f"--selector={LABEL}"))

    async def reasons(self) -> list[str]:
        """Return the reasons of the Events in the namespace."""
        return [item["reason"] for item in self._items("events.events.k8s.io")]

    async def listed_secrets(self) -> dict[str, int]:
        """Read the Secrets of the namespace with the operator's lister."""
        return await listed(Lister(self.api, [self.namespace]).list_secrets(), self.namespace)

    async def listed_credentials(self) -> dict[str, int]:
        """Read the credentials of the namespace with the operator's lister."""
        return await listed(Lister(self.api, [self.namespace]).list_credentials(), self.namespace)

    def _key(self, name: str) -> Key:
        return Key(namespace=self.namespace, name=name)

    def _items(self, kind: str, *options: str) -> list[dict[str, Any]]:
        return list(json.loads(self._kubectl("get", kind, "--output=json", *options))["items"])

    def _kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.control_plane.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin)


@asynccontextmanager
async def real_cluster(control_plane: ControlPlane, namespace: str, folder: Path) -> AsyncIterator[RealCluster]:
    """Open the adapters, through a relay, to an API server that has the CRD."""
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
