"""A model of one cluster's API server: credentials, Secrets, the Lease and the escrow, and a watch that comes late."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from pipedrive_operator.adapters.kubernetes.credentials import QUIET
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.publication.target import TargetSecret, read_target
from pipedrive_operator.core.resource.credential import AnyCredential, read_credential
from pipedrive_operator.core.resource.names import LABEL_CREDENTIAL, Key
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    GrantUnstored,
    LeaseChanged,
    SecretChanged,
    SecretExists,
)
from pipedrive_operator.core.values.lease import Lease
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.ports import Event
from simulation.history import History, who
from simulation.promises import Promises
from simulation.weather import Weather
from support.fakes import merged

OnEvent = Callable[[str, str | None, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Page:
    """A whole list."""

    items: list[dict[str, Any]]
    resource_version: int


@dataclass
class ClusterModel:
    """One API server."""

    name: str
    weather: Weather
    history: History
    promises: Promises
    version: int = 100
    credentials: dict[Key, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[Key, dict[str, Any]] = field(default_factory=dict)
    lease: Lease | None = None
    escrow: dict[VaultLocation, tuple[Grant, str]] = field(default_factory=dict)
    """Each grant with its refresh."""
    escrow_keys: dict[VaultLocation, SecretValue] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    recorded: dict[tuple[str, ...], float] = field(default_factory=dict)
    """When each process recorded which Event about what."""
    watchers: list[OnEvent] = field(default_factory=list)

    def apply(self, resource: dict[str, Any]) -> None:
        """Create or change a credential at once, as a person does."""
        self._store("credential", self.credentials, resource)

    def put_secret(self, manifest: Mapping[str, Any]) -> None:
        """Create or change a Secret at once, as a person does."""
        key = Key(namespace=manifest["metadata"]["namespace"], name=manifest["metadata"]["name"])
        self._store("secret", self.secrets, merged(self.secrets.get(key, {}), manifest))

    def replace_secret(self, key: Key, data: Mapping[str, str]) -> None:
        """Change a Secret at once, as a person does."""
        self._store("secret", self.secrets, self.secrets[key] | {"data": data})

    def _store(self, kind: str, objects: dict[Key, dict[str, Any]], body: Mapping[str, Any]) -> dict[str, Any]:
        key = Key(namespace=body["metadata"]["namespace"], name=body["metadata"]["name"])
        if body == objects.get(key):
            return objects[key]
        self.version += 1
        metadata = {"uid": f"{self.name}-{self.version}"} | body["metadata"]
        stored = objects[key] = dict(body) | {"metadata": metadata | {"resourceVersion": str(self.version)}}
        for watcher in self.watchers:
            watcher(kind, "MODIFIED", stored)
        return stored

    async def read(self, key: Key) -> TargetSecret | None:
        """Read a Secret."""
        await self.arrive()
        body = self.secrets.get(key)
        await self.answer()
        return None if body is None else read_target(body)

    async def create(self, manifest: Mapping[str, Any]) -> TargetSecret:
        """Create a Secret."""
        await self.arrive()
        key = Key(namespace=manifest["metadata"]["namespace"], name=manifest["metadata"]["name"])
        if key in self.secrets:
            await self.answer()
            raise SecretExists(str(key))
        self._publish(key, manifest)
        return read_target(await self._written("secret", self.secrets, manifest))

    async def patch(self, key: Key, patch: Mapping[str, Any]) -> TargetSecret:
        """Merge-patch a Secret at its resourceVersion."""
        await self.arrive()
        body = self.secrets.get(key)
        if body is None or body["metadata"]["resourceVersion"] != patch["metadata"]["resourceVersion"]:
            await self.answer()
            raise SecretChanged(str(key))
        self._publish(key, merged(body, patch))
        return read_target(await self._written("secret", self.secrets, merged(body, patch)))

    async def delete(self, target: TargetSecret) -> None:
        """Delete exactly that Secret."""
        await self.arrive()
        body = self.secrets.get(target.key)
        if body is not None and (read_target(body).uid, read_target(body).resource_version) == (
            target.uid,
            target.resource_version,
        ):
            self.version += 1
            del self.secrets[target.key]
            gone = body | {"metadata": body["metadata"] | {"resourceVersion": str(self.version)}}
            for watcher in self.watchers:
                watcher("secret", "DELETED", gone)
        await self.answer()

    async def patch_status(self, key: Key, status: Mapping[str, Any]) -> AnyCredential | None:
        """Merge-patch a status."""
        await self.arrive()
        held = self.credentials.get(key)
        if held is None:
            await self.answer()
            return None
        body = merged(held, {"status": status})
        was = read_credential(held).status.condition(ConditionType.AUTHORIZED)
        self.promises.reported(f"{self.name}/{key}", body["status"], was=was.reason if was else None, by=who())
        return read_credential(await self._written("credential", self.credentials, body))

    async def record_event(self, credential: AnyCredential, event: Event) -> None:
        """Record an Event, unless the same process recorded the same just now."""
        fingerprint = (who(), credential.uid, event.reason, event.message)
        now = asyncio.get_running_loop().time()
        if now - self.recorded.get(fingerprint, float("-inf")) < QUIET.total_seconds():
            return
        await self.arrive()
        self.events.append(event)
        self.history.note("event", f"{credential.key}: {event.reason}")
        await self.answer()
        self.recorded[fingerprint] = now

    async def list_secrets(self) -> AsyncIterator[Page]:
        """List the Secrets that carry our label."""
        await self.arrive()
        ours = [body for body in self.secrets.values() if LABEL_CREDENTIAL in read_target(body).labels]
        page = Page(ours, self.version)
        await self.answer()
        yield page

    async def list_credentials(self) -> AsyncIterator[Page]:
        """List the credentials."""
        await self.arrive()
        page = Page(list(self.credentials.values()), self.version)
        await self.answer()
        yield page

    def _publish(self, key: Key, body: Mapping[str, Any]) -> None:
        self.promises.published(f"{self.name}/{key}", body["data"], by=who())

    async def _written(self, kind: str, objects: dict[Key, dict[str, Any]], body: Mapping[str, Any]) -> dict[str, Any]:
        stored = self._store(kind, objects, body)
        await self.answer()
        return stored

    async def arrive(self) -> None:
        """Let a request arrive, or not."""
        await self.weather.arrive(ApiServerUnavailable("no answer"))

    async def answer(self) -> None:
        """Let an answer arrive, or not."""
        await self.weather.answer(ApiServerUnavailable("the answer was lost"))


@dataclass
class LeasesModel:
    """The Lease of one cluster."""

    cluster: ClusterModel

    async def read(self) -> Lease | None:
        """Return the Lease."""
        await self.cluster.arrive()
        held = self.cluster.lease
        await self.cluster.answer()
        return held

    async def write(self, lease: Lease) -> None:
        """Replace the Lease that was read."""
        await self.cluster.arrive()
        held = self.cluster.lease
        is_ours = lease.resource_version == (held.resource_version if held else None)
        if is_ours and lease != held:
            self.cluster.version += 1
            if held is None or held.holder != lease.holder:
                self.cluster.history.note("lease", f"is {lease.holder or 'released'}")
            self.cluster.lease = replace(lease, resource_version=str(self.cluster.version))
        await self.cluster.answer()
        if not is_ours:
            raise LeaseChanged("somebody was faster")


@dataclass
class EscrowModel:
    """The escrow of one cluster, as one process knows it."""

    cluster: ClusterModel
    known: dict[VaultLocation, set[str]] = field(default_factory=dict)
    """The refreshes of which it knows that something may be kept; what others keep is left alone."""

    async def load(self) -> list[str]:
        """List what others have left since."""
        await self.cluster.arrive()
        found = {location: {refresh_id} for location, (_, refresh_id) in self.cluster.escrow.items()}
        await self.cluster.answer()
        left = {location: ids for location, ids in found.items() if location not in self.known}
        self.known |= left
        return [str(location) for location in left]

    def holds(self, location: VaultLocation) -> bool:
        """Tell whether something is kept, or may be."""
        return location in self.known

    async def find(self, location: VaultLocation) -> bool:
        """Look whether something is kept, whoever kept it."""
        await self.cluster.arrive()
        kept = self.cluster.escrow.get(location)
        await self.cluster.answer()
        self.known.pop(location, None)
        if kept is not None:
            self.known[location] = {kept[1]}
        return kept is not None

    async def keep(self, location: VaultLocation, won: Grant, refresh_id: str, key: SecretValue) -> bool:
        """Keep a grant, in the place of what an earlier refresh has left."""
        with suppress(ApiServerUnavailable):
            await self.cluster.arrive()
            kept = self.cluster.escrow.get(location)
            ours = self.known.setdefault(location, set()) | {refresh_id}
            if kept is None or (kept[1] in ours and kept[1] != refresh_id):
                self.cluster.escrow[location], self.cluster.escrow_keys[location] = (won, refresh_id), key
                self.cluster.history.note("escrow", f"keeps {won.refresh_token.reveal()}")
            self.known[location] = ours
            await self.cluster.answer()
            return self._ours(location) is not None
        return False

    async def open(self, location: VaultLocation, key: SecretValue) -> Grant | None:
        """Return what is kept."""
        await asyncio.sleep(0)
        kept = self._ours(location)
        if kept is None:
            self.known.pop(location, None)
        if kept is not None and self.cluster.escrow_keys[location] != key:
            raise GrantUnstored("the escrow cannot be opened with this key")
        return kept

    async def drop(self, location: VaultLocation) -> None:
        """Let go of what is kept."""
        if location not in self.known:
            return
        with suppress(ApiServerUnavailable):
            await self.cluster.arrive()
            if self._ours(location) is not None:
                del self.cluster.escrow[location]
                self.cluster.history.note("escrow", "is empty")
            await self.cluster.answer()
            del self.known[location]

    def _ours(self, location: VaultLocation) -> Grant | None:
        won, refresh_id = self.cluster.escrow.get(location, (None, ""))
        return won if refresh_id in self.known.get(location, ()) else None
