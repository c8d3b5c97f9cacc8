"""The implementation of `ports.Workloads`. Whether a workload may be restarted is decided elsewhere."""

from collections.abc import Mapping
from typing import Any

from pipedrive_operator.adapters.kubernetes.api import Api, Body, readable
from pipedrive_operator.adapters.kubernetes.endpoints import WORKLOADS, Endpoint
from pipedrive_operator.adapters.kubernetes.quotation import quote
from pipedrive_operator.adapters.kubernetes.refusal import Refusal
from pipedrive_operator.core.publication.rollout import Workload
from pipedrive_operator.core.resource.metadata import read_metadata, read_strings
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.workload import WorkloadReference
from pipedrive_operator.core.values.errors import WorkloadChanged, WorkloadDenied


class KubernetesWorkloads:
    """Implements `ports.Workloads`."""

    def __init__(self, api: Api) -> None:
        """Use `api`."""
        self._api = api

    async def read(self, namespace: str, reference: WorkloadReference) -> Workload | None:
        """Return the workload, or None if it does not exist."""
        try:
            body = await self._api.get(_endpoint(namespace, reference))
        except Refusal as refusal:
            raise _denial(refusal) from None
        return None if body is None else _read(body, reference)

    async def patch(self, workload: Workload, patch: Mapping[str, Any]) -> None:
        """Apply a merge patch that names the resourceVersion for which it was made."""
        try:
            await self._api.merge_patch(_endpoint(workload.namespace, workload.reference), patch)
        except Refusal as refusal:
            if refusal.is_not_found or refusal.is_conflict:
                raise WorkloadChanged(refusal.message) from None
            raise _denial(refusal) from None


def _endpoint(namespace: str, reference: WorkloadReference) -> Endpoint:
    return WORKLOADS[reference.kind].at(Key(namespace=namespace, name=reference.name))


def _denial(refusal: Refusal) -> WorkloadDenied:
    return WorkloadDenied(f"the API server denied the request: {quote(refusal.message)}")


def _read(body: Body, reference: WorkloadReference) -> Workload:
    metadata = read_metadata(body)
    with readable("workload"):
        template = body["spec"]["template"].get("metadata") or {}
        template_annotations = read_strings(template, "annotations")
    return Workload(
        reference=reference,
        namespace=metadata.namespace,
        resource_version=metadata.resource_version,
        annotations=metadata.annotations,
        template_annotations=template_annotations,
    )
