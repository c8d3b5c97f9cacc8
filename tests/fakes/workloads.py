"""A fake of the workloads port. It keeps the contract of `ports.py`, and fails on request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipedrive_operator.core.publication.rollout import ANNOTATION_ALLOW_ROLLOUT, Workload
from pipedrive_operator.core.resource.workload import WorkloadReference
from pipedrive_operator.core.values.errors import OperatorError, WorkloadChanged


@dataclass
class FakeWorkloads:
    """Workloads, each a manifest; a patch of a template is a restart."""

    objects: dict[WorkloadReference, dict[str, Any]] = field(default_factory=dict)
    reads: list[WorkloadReference] = field(default_factory=list)
    restarts: list[WorkloadReference] = field(default_factory=list)
    breaks: OperatorError | None = None
    loses_acknowledgements: bool = False
    before_patch: Callable[[], None] | None = None

    def put(self, reference: WorkloadReference, *, allows: str = "acme") -> None:
        """Create a workload, which allows some credentials to restart it."""
        allowed = {ANNOTATION_ALLOW_ROLLOUT: allows} if allows else {}
        metadata = {"annotations": allowed, "resourceVersion": "1"}
        self.objects[reference] = {"metadata": metadata, "template": {"annotations": {}}}

    def touch(self, reference: WorkloadReference) -> None:
        """Change a workload without the operator, as its controller does."""
        metadata = self.objects[reference]["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)

    def template(self, reference: WorkloadReference) -> dict[str, str]:
        """Return the annotations of the pod template."""
        return dict(self.objects[reference]["template"]["annotations"])

    async def read(self, namespace: str, reference: WorkloadReference) -> Workload | None:
        """Read a workload."""
        self.reads.append(reference)
        if self.breaks is not None and not self.loses_acknowledgements:
            raise self.breaks
        body = self.objects.get(reference)
        if body is None:
            return None
        return Workload(
            reference=reference,
            namespace=namespace,
            resource_version=body["metadata"]["resourceVersion"],
            annotations=dict(body["metadata"]["annotations"]),
            template_annotations=self.template(reference),
        )

    async def patch(self, workload: Workload, patch: Mapping[str, Any]) -> None:
        """Merge-patch a workload at its resourceVersion."""
        if self.before_patch is not None:
            self.before_patch()
        body = self.objects[workload.reference]
        if body["metadata"]["resourceVersion"] != patch["metadata"]["resourceVersion"]:
            raise WorkloadChanged(str(workload.reference))
        body["template"]["annotations"] |= patch["spec"]["template"]["metadata"]["annotations"]
        self.touch(workload.reference)
        self.restarts.append(workload.reference)
        if self.breaks is not None:
            raise self.breaks
