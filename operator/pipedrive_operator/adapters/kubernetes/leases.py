"""The implementation of `ports.Leases`. Which replica may take the Lease is decided elsewhere."""

from datetime import datetime, timedelta
from typing import Any, Final

from pipedrive_operator.adapters.kubernetes.api import Api, readable
from pipedrive_operator.adapters.kubernetes.endpoints import LEASES
from pipedrive_operator.adapters.kubernetes.refusal import Refusal
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import LeaseChanged
from pipedrive_operator.core.values.lease import Lease
from pipedrive_operator.core.values.times import parse_time

_MICROSECONDS: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
"""How Kubernetes writes the times of a Lease (MicroTime)."""


class KubernetesLeases:
    """Implements `ports.Leases`."""

    def __init__(self, api: Api, key: Key) -> None:
        """Use `api` for the Lease with that key."""
        self._api = api
        self._key = key

    async def read(self) -> Lease | None:
        """Return the Lease, or None if it does not exist."""
        body = await self._api.get(LEASES.at(self._key))
        with readable("Lease"):
            return None if body is None else _read(body)

    async def write(self, lease: Lease) -> None:
        """Create the Lease, or replace the one that was read."""
        try:
            if lease.resource_version is None:
                await self._api.create(LEASES.collection(self._key.namespace), self._manifest(lease))
            else:
                await self._api.merge_patch(LEASES.at(self._key), self._manifest(lease))
        except Refusal as refusal:
            if refusal.is_conflict or refusal.is_not_found:
                raise LeaseChanged(refusal.message) from None
            raise

    def _manifest(self, lease: Lease) -> dict[str, Any]:
        metadata = {"namespace": self._key.namespace, "name": self._key.name}
        if lease.resource_version is not None:
            metadata["resourceVersion"] = lease.resource_version
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": lease.holder,
                "leaseDurationSeconds": int(lease.duration.total_seconds()),
                "acquireTime": _format(lease.acquired_at),
                "renewTime": _format(lease.renewed_at),
                "leaseTransitions": lease.transitions,
            },
        }


def _read(body: dict[str, Any]) -> Lease:
    spec = body.get("spec") or {}
    return Lease(
        holder=spec.get("holderIdentity") or "",
        duration=timedelta(seconds=spec.get("leaseDurationSeconds") or 1),
        acquired_at=parse_time(spec.get("acquireTime") or ""),
        renewed_at=parse_time(spec.get("renewTime") or ""),
        transitions=spec.get("leaseTransitions") or 0,
        resource_version=body["metadata"]["resourceVersion"],
    )


def _format(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime(_MICROSECONDS)
