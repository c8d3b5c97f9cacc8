"""The workloads of one namespace, as the API server keeps them: Deployments, StatefulSets and DaemonSets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fakes.merge_patch import merged
from fakes.network import Network
from pipedrive_operator.core.publication.rollout import ANNOTATION_ALLOW_ROLLOUT, Workload
from pipedrive_operator.core.resource.workload import WorkloadReference
from pipedrive_operator.core.values.errors import ApiServerUnavailable, OperatorError, WorkloadChanged


@dataclass
class FakeWorkloads:
    """Implements `ports.Workloads`. Each workload is a manifest; a patch of its pod template is a restart."""

    namespace: str = "crm"
    objects: dict[WorkloadReference, dict[str, Any]] = field(default_factory=dict)
    reads: list[WorkloadReference] = field(default_factory=list)
    restarts: list[WorkloadReference] = field(default_factory=list)
    network: Network = field(default_factory=Network)
    breaks: OperatorError | None = None
    """The error of every call; nothing takes effect."""
    loses_acknowledgements: bool = False
    """Whether the responses to patches are lost: each patch takes effect, and its caller does not learn it."""
    before_patch: Callable[[], None] | None = None
    """Runs before each patch, to change the workload between the read and the patch."""
    version: int = 0

    def put(self, reference: WorkloadReference, *, allows: str = "acme", **annotations: str) -> None:
        """Create or replace a workload that allows the credential `allows` to restart it; with "", none."""
        allowed = {ANNOTATION_ALLOW_ROLLOUT: allows} if allows else {}
        metadata = {"annotations": allowed | annotations, "resourceVersion": self._next()}
        self.objects[reference] = {"metadata": metadata, "spec": {"template": {"metadata": {"annotations": {}}}}}

    def touch(self, reference: WorkloadReference) -> None:
        """Change a workload as its controller does, without the operator."""
        self.objects[reference]["metadata"]["resourceVersion"] = self._next()

    def template(self, reference: WorkloadReference) -> dict[str, str]:
        """Return the annotations of the pod template."""
        return dict(self.objects[reference]["spec"]["template"]["metadata"]["annotations"])

    async def read(self, namespace: str, reference: WorkloadReference) -> Workload | None:
        """Read a workload."""
        self.reads.append(reference)
        await self._arrive()
        body = self.objects.get(reference) if namespace == self.namespace else None
        found = None if body is None else self._read(reference, body)
        await self._answer()
        return found

    async def patch(self, workload: Workload, patch: Mapping[str, Any]) -> None:
        """Merge-patch a workload at its resourceVersion."""
        if self.before_patch is not None:
            self.before_patch()
        await self._arrive()
        body = self.objects.get(workload.reference)
        if body is None or body["metadata"]["resourceVersion"] != patch["metadata"]["resourceVersion"]:
            await self._answer()
            raise WorkloadChanged(str(workload.reference))
        if merged(body, patch) != body:
            self.objects[workload.reference] = merged(body, patch)
            self.touch(workload.reference)
            self.restarts.append(workload.reference)
        await self._answer()
        if self.loses_acknowledgements:
            raise _unavailable()

    def _read(self, reference: WorkloadReference, body: Mapping[str, Any]) -> Workload:
        return Workload(
            reference=reference,
            namespace=self.namespace,
            resource_version=body["metadata"]["resourceVersion"],
            annotations=dict(body["metadata"]["annotations"]),
            template_annotations=self.template(reference),
        )

    async def _arrive(self) -> None:
        await self.network.arrive(_unavailable())
        if self.breaks is not None:
            raise self.breaks

    async def _answer(self) -> None:
        await self.network.answer(_unavailable())

    def _next(self) -> str:
        self.version += 1
        return str(self.version)


def _unavailable() -> ApiServerUnavailable:
    return ApiServerUnavailable("the API server gave no answer")
