"""The real escrow adapter on a model of the Secrets in the operator's namespace."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from fakes.clock import TurnedClock
from fakes.cluster import FakeCluster
from pipedrive_operator.adapters.kubernetes.api import Body, Page
from pipedrive_operator.adapters.kubernetes.endpoints import Endpoint
from pipedrive_operator.adapters.kubernetes.escrow import KubernetesEscrow, unseal
from pipedrive_operator.adapters.kubernetes.refusal import Refusal
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.values.secret_value import SecretValue

NAMESPACE = "operators"


@dataclass
class EscrowSecrets:
    """Implements the adapter's `Gateway` for the Secrets of the escrow."""

    cluster: FakeCluster

    async def pages(self, endpoint: Endpoint, *, labels: str = "") -> AsyncIterator[Page]:
        """List all Secrets that have the label of the escrow."""
        assert endpoint.path.endswith("/secrets")
        assert labels
        await self.cluster.arrive()
        await self.cluster.reads_escrow()
        found = [body for body in self.cluster.escrow.values() if labels in body["metadata"]["labels"]]
        page, as_of = Page(found, self.cluster.version), self.cluster.clock.monotonic()
        await self.cluster.reads_escrow()
        await self.cluster.answer()
        self.cluster.lists_escrow(as_of)
        yield page

    async def get(self, endpoint: Endpoint) -> Body | None:
        """Return a Secret, or None if it does not exist."""
        await self.cluster.arrive()
        await self.cluster.reads_escrow()
        body = self.cluster.escrow.get(_name(endpoint))
        await self.cluster.reads_escrow()
        await self.cluster.answer()
        return body

    async def create(self, endpoint: Endpoint, body: Mapping[str, Any]) -> Body:
        """Create a Secret, unless its name is taken."""
        assert endpoint.path.endswith("/secrets")
        await self.cluster.arrive()
        name = body["metadata"]["name"]
        self.cluster.write("keep escrow")
        is_free, stored = name not in self.cluster.escrow, self.cluster.admission(dict(body))
        if is_free:
            self.cluster.escrow[name] = stored
            self.cluster.keeps_escrow(stored)
        await self.cluster.answer()
        if not is_free:
            raise Refusal(
                HTTPStatus.CONFLICT, {"reason": "AlreadyExists", "message": f'secrets "{name}" already exists'}
            )
        return stored

    async def delete(self, endpoint: Endpoint, *, preconditions: Mapping[str, str] | None = None) -> None:
        """Delete a Secret."""
        assert not preconditions
        await self.cluster.arrive()
        if self.cluster.keeps_escrow_for_ever:
            if (kept := self.cluster.escrow.get(_name(endpoint))) is not None:
                self.cluster.must_keep_escrow(kept)
            self.cluster.note("escrow", "is not dropped: a webhook denies it")
            raise Refusal(HTTPStatus.FORBIDDEN, {"reason": "Forbidden", "message": "a webhook denies it"})
        body = self.cluster.escrow.pop(_name(endpoint), None)
        if body is not None:
            self.cluster.write("drop escrow")
            self.cluster.drops_escrow(body)
            refresh_id = body["metadata"]["annotations"].get("pipedrive-operator.io/refresh-id")
            self.cluster.note("escrow", f"drops {refresh_id}")
        await self.cluster.answer()
        if body is None:
            raise Refusal(
                HTTPStatus.NOT_FOUND, {"reason": "NotFound", "message": f'secrets "{endpoint.path}" not found'}
            )


def build_escrow(cluster: FakeCluster) -> KubernetesEscrow:
    """Build the escrow of a cluster as one process knows it."""
    return KubernetesEscrow(EscrowSecrets(cluster), NAMESPACE, TurnedClock())


def escrowed(cluster: FakeCluster, location: VaultLocation, key: SecretValue) -> list[Grant]:
    """Return the grants in escrow for a location, as someone with the key reads them in the cluster."""
    found = (_unsealed(_Sealed(body), location, key) for body in cluster.escrow.values())
    return [grant for grant in found if grant is not None]


class _Sealed:
    """A Secret, which is compared by identity: it never changes."""

    def __init__(self, body: Body) -> None:
        self.body = body

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sealed) and self.body is other.body

    def __hash__(self) -> int:
        return id(self.body)


@lru_cache(maxsize=64)
def _unsealed(sealed: _Sealed, location: VaultLocation, key: SecretValue) -> Grant | None:
    return unseal(sealed.body, location, key, clock=TurnedClock())


def _name(endpoint: Endpoint) -> str:
    return endpoint.path.rpartition("/")[2]
