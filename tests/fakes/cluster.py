"""An API server: credentials, Secrets and Events, and a watch."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fakes.clock import TurnedClock
from fakes.merge_patch import merged
from fakes.network import Network
from pipedrive_operator.adapters.kubernetes.credentials import QUIET
from pipedrive_operator.core.publication.target import TargetSecret, read_target
from pipedrive_operator.core.resource.credential import AnyCredential, read_credential
from pipedrive_operator.core.resource.names import LABEL_CREDENTIAL, Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable, SecretChanged, SecretExists
from pipedrive_operator.core.values.lease import Lease
from pipedrive_operator.ports import Clock, Event

OnEvent = Callable[[str, str, Mapping[str, Any]], None]
"""Receives `credential`, `secret` or `consent`, the type of a watch event, and the object."""


@dataclass(frozen=True)
class Page:
    """A whole list."""

    items: list[dict[str, Any]]
    resource_version: int


@dataclass
class FakeCluster:
    """Implements `ports.Secrets` and `ports.Credentials`, and the lists of a resync."""

    clock: Clock = field(default_factory=TurnedClock)
    network: Network = field(default_factory=Network)
    version: int = 1000
    """The newest resourceVersion."""
    credentials: dict[Key, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[Key, dict[str, Any]] = field(default_factory=dict)
    consents: dict[Key, dict[str, Any]] = field(default_factory=dict)
    lease: Lease | None = None
    escrow: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The Secrets of the escrow, by name."""
    events: list[Event] = field(default_factory=list)
    watchers: list[OnEvent] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    """A description of every attempted write."""
    breaks: Exception | None = None
    """Raised by every write."""
    breaks_secrets: Exception | None = None
    """Raised by every write of a Secret."""
    breaks_statuses: Exception | None = None
    """Raised by every write of a status."""
    keeps_escrow_for_ever: bool = False
    """Whether no escrow can be deleted."""
    admission: Callable[[dict[str, Any]], dict[str, Any]] = lambda body: body
    """What mutating admission makes of a Secret before it is stored."""
    _recorded: dict[tuple[str, ...], float] = field(default_factory=dict)
    """When each process recorded which Event."""

    def apply(self, resource: dict[str, Any]) -> AnyCredential:
        """Create or change a credential, as a user does; its status is kept."""
        known = self.credentials.get(_key_of(resource), resource)
        return read_credential(self._store("credential", self.credentials, resource | {"status": known["status"]}))

    def put_secret(self, manifest: Mapping[str, Any], *, is_watched: bool = True) -> TargetSecret:
        """Create or change a Secret, as a person does; the watch may miss it."""
        return read_target(self._store("secret", self.secrets, self.admission(dict(manifest)), is_watched=is_watched))

    def store_consent(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create or change a consent."""
        return self._store("consent", self.consents, body)

    def delete_consent(self, key: Key) -> None:
        """Delete a consent."""
        body = self.consents.pop(key)
        self._notify("consent", "DELETED", body | {"metadata": body["metadata"] | {"resourceVersion": self.next()}})

    def delete_secret(self, key: Key) -> None:
        """Delete a Secret, as a person does."""
        body = self.secrets.pop(key)
        self._notify("secret", "DELETED", body | {"metadata": body["metadata"] | {"resourceVersion": self.next()}})

    def secret(self, key: Key) -> TargetSecret | None:
        """Return a Secret as it is in the cluster."""
        body = self.secrets.get(key)
        return None if body is None else read_target(body)

    async def read(self, key: Key) -> TargetSecret | None:
        """Read a Secret."""
        await self.arrive()
        target = self.secret(key)
        await self.answer()
        return target

    async def create(self, manifest: Mapping[str, Any]) -> TargetSecret:
        """Create a Secret."""
        await self.arrive()
        key = _key_of(manifest)
        self.write(f"create secret {key.name}")
        if key in self.secrets:
            await self.answer()
            raise SecretExists(str(key))
        self.publishes(key, manifest)
        return read_target(await self._written("secret", self.secrets, self.admission(dict(manifest))))

    async def patch(self, key: Key, patch: Mapping[str, Any]) -> TargetSecret:
        """Merge-patch a Secret at its resourceVersion."""
        await self.arrive()
        self.write(f"patch secret {key.name}")
        body = self.secrets.get(key)
        if body is None or body["metadata"]["resourceVersion"] != patch["metadata"]["resourceVersion"]:
            await self.answer()
            raise SecretChanged(str(key))
        self.publishes(key, merged(body, patch))
        return read_target(await self._written("secret", self.secrets, self.admission(merged(body, patch))))

    async def delete(self, target: TargetSecret) -> None:
        """Delete exactly that Secret."""
        await self.arrive()
        self.write(f"delete secret {target.key.name}")
        current = self.secret(target.key)
        wanted = (target.uid, target.resource_version)
        if current is not None and (current.uid, current.resource_version) == wanted:
            self.delete_secret(target.key)
        await self.answer()

    async def patch_status(self, key: Key, status: Mapping[str, Any]) -> AnyCredential | None:
        """Merge-patch a status."""
        await self.arrive()
        self.write("patch status")
        current = self.credentials.get(key)
        if current is None:
            await self.answer()
            return None
        body = merged(current, {"status": status})
        self.reports(key, current, body)
        return read_credential(await self._written("credential", self.credentials, body))

    async def record_event(self, credential: AnyCredential, event: Event) -> None:
        """Record an Event, unless the same process recorded the same one a moment ago."""
        fingerprint = (self.writer(), credential.uid, event.reason, event.message)
        now = self.clock.monotonic()
        if now - self._recorded.get(fingerprint, float("-inf")) < QUIET.total_seconds():
            return
        await self.arrive()
        self.events.append(event)
        self.note("event", f"{credential.key}: {event.reason}")
        await self.answer()
        self._recorded[fingerprint] = now

    async def list_secrets(self) -> AsyncIterator[Page]:
        """List the Secrets that carry the operator's label."""
        await self.arrive()
        labelled = [body for body in self.secrets.values() if LABEL_CREDENTIAL in read_target(body).labels]
        page = Page(labelled, self.version)
        await self.answer()
        yield page

    async def list_credentials(self) -> AsyncIterator[Page]:
        """List the credentials."""
        await self.arrive()
        page = Page(list(self.credentials.values()), self.version)
        await self.answer()
        yield page

    def writer(self) -> str:
        """Return which process writes, where a simulation has several."""
        return ""

    def publishes(self, key: Key, body: Mapping[str, Any]) -> None:
        """Do what a simulation does when a process writes a Secret."""

    def reports(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Do what a simulation does when a process writes a status."""

    def reports_consent(self, body: Mapping[str, Any]) -> None:
        """Do what a simulation does when a process has written the status of a consent."""

    def hands_over(self, before: str, after: str) -> None:
        """Do what a simulation does when the Lease gets another holder; an empty name means none."""

    def keeps_escrow(self, body: Mapping[str, Any]) -> None:
        """Do what a simulation does when a grant is kept in escrow."""

    def drops_escrow(self, body: Mapping[str, Any]) -> None:
        """Do what a simulation does when a process has dropped an escrow."""

    def must_keep_escrow(self, body: Mapping[str, Any]) -> None:
        """Do what a simulation does when a process may not drop an escrow."""

    def lists_escrow(self, as_of: float) -> None:
        """Do what a simulation does when a process has learned what was in escrow at a moment."""

    async def reads_escrow(self) -> None:
        """Do what a simulation does on both ways of a read of the escrow: fail, or take long."""

    def note(self, where: str, what: str) -> None:
        """Do what a simulation does to remember what happened."""

    def write(self, what: str) -> None:
        """Count an attempt to write, which may fail."""
        self.writes.append(what)
        error = self.breaks or (self.breaks_secrets if "secret" in what else None)
        error = error or (self.breaks_statuses if "status" in what else None)
        if error is not None:
            raise error

    def next(self) -> str:
        """Return the next resourceVersion."""
        self.version += 1
        return str(self.version)

    async def arrive(self) -> None:
        """Deliver a request, or fail before it takes effect."""
        await self.network.arrive(ApiServerUnavailable("no answer"))

    async def answer(self) -> None:
        """Deliver a response, or fail after the request took effect."""
        await self.network.answer(ApiServerUnavailable("the answer was lost"))

    async def _written(self, kind: str, objects: dict[Key, dict[str, Any]], body: Mapping[str, Any]) -> dict[str, Any]:
        stored = self._store(kind, objects, body)
        await self.answer()
        return stored

    def _store(
        self, kind: str, objects: dict[Key, dict[str, Any]], body: Mapping[str, Any], *, is_watched: bool = True
    ) -> dict[str, Any]:
        key = _key_of(body)
        if body == objects.get(key):
            return objects[key]
        version = self.next()
        metadata = {"uid": f"uid-{version}"} | body["metadata"] | {"resourceVersion": version}
        objects[key] = dict(body) | {"metadata": metadata}
        if is_watched:
            self._notify(kind, "MODIFIED", objects[key])
        return objects[key]

    def _notify(self, kind: str, event: str, body: Mapping[str, Any]) -> None:
        for watcher in self.watchers:
            watcher(kind, event, body)


def _key_of(body: Mapping[str, Any]) -> Key:
    return Key(namespace=body["metadata"]["namespace"], name=body["metadata"]["name"])
