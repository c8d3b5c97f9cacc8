"""Helpers of the tests of the watch: what changes the cluster, who connects, and what was delivered."""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from pipedrive_operator.adapters.kubernetes.crd_version import CRD_NAME
from pipedrive_operator.adapters.kubernetes.session import open_session
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.resource.names import LABEL_CREDENTIAL
from support import manifests
from testbed.api_client import ApiClient
from testbed.control_plane import ControlPlane

DEADLINE = 30.0
_COLLECTIONS = {
    "credential": f"/apis/{manifests.API_VERSION}/namespaces/{{}}/{CRD_NAME.partition('.')[0]}",
    "secret": f"/api/v1/namespaces/{{}}/secrets?labelSelector={LABEL_CREDENTIAL}",
}

Event = tuple[str, str | None, str]
"""A kind, a type and a name."""


@dataclass
class Delivered:
    """What a watch delivered for one namespace, and methods that wait for more.

    Whenever the watch asks for a list, the objects of the namespace are listed, as the operator does.
    """

    namespace: str
    client: ApiClient
    events: list[Event] = field(default_factory=list)
    interruptions: int = 0
    lists: int = 0
    listed: set[tuple[str, str]] = field(default_factory=set)
    """The kinds and names of what the lists found."""
    threads: set[int] = field(default_factory=set)
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _listing: set[asyncio.Task[None]] = field(default_factory=set)

    def take(self, kind: str, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Record an event of the watch."""
        self.threads.add(threading.get_ident())
        if body["metadata"]["namespace"] == self.namespace:
            self.events.append((kind, event_type, body["metadata"]["name"]))
            self._more.set()

    def interrupt(self) -> None:
        """Record an interruption."""
        self.threads.add(threading.get_ident())
        self.interruptions += 1
        self._more.set()

    def note_list(self) -> None:
        """List everything."""
        self.threads.add(threading.get_ident())
        self.lists += 1
        self._more.set()
        listing = asyncio.create_task(self._list())
        self._listing.add(listing)
        listing.add_done_callback(self._listing.discard)

    async def until_listed(self, times: int = 2) -> None:
        """Wait until a list was asked for so many times: once for credentials, and once for Secrets."""
        await self._until(lambda: self.lists >= times)

    async def until_interrupted(self, times: int) -> None:
        """Wait until there were so many interruptions."""
        await self._until(lambda: self.interruptions >= times)

    async def until(self, *wanted: Event) -> None:
        """Wait until these events were delivered."""
        await self._until(lambda: set(wanted) <= set(self.events))

    async def until_seen(self, name: str, *kinds: str) -> None:
        """Wait until objects of that name and these kinds were delivered, with any type of event."""
        await self._until(lambda: {(kind, name) for kind in kinds} <= {(kind, seen) for kind, _, seen in self.events})

    async def until_known(self, name: str, *kinds: str) -> None:
        """Wait until objects of that name and these kinds were delivered, or found by a list that was asked for."""
        wanted = {(kind, name) for kind in kinds}
        await self._until(lambda: wanted <= self.listed | {(kind, seen) for kind, _, seen in self.events})

    async def _list(self) -> None:
        for kind, collection in _COLLECTIONS.items():
            found = await asyncio.to_thread(self.client.find, collection.format(self.namespace))
            self.listed |= {(kind, one["metadata"]["name"]) for one in (found or {}).get("items", ())}
        self._more.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._more.clear()
                await self._more.wait()


@dataclass
class WatchedNamespace:
    """Changes the objects of one namespace."""

    plane: ControlPlane
    namespace: str

    async def kubectl(self, *arguments: str, stdin: str | None = None) -> None:
        """Run kubectl in the namespace."""
        await asyncio.to_thread(self.plane.kubectl, *arguments, f"--namespace={self.namespace}", stdin=stdin)

    async def remove_crd(self) -> None:
        """Delete the CRD of credentials, and wait until the API server no longer lists it in its group."""
        await self.kubectl("delete", "crd", CRD_NAME)
        plural, group = CRD_NAME.partition(".")[0], f"--raw=/apis/{manifests.API_VERSION}"
        async with asyncio.timeout(DEADLINE):
            while f'"{plural}"' in await asyncio.to_thread(self.plane.kubectl, "get", group):
                pass

    async def apply(self, *bodies: dict[str, Any]) -> None:
        """Apply objects."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(bodies)}
        await self.kubectl("apply", "--filename=-", stdin=json.dumps(items))


def credential(name: str, path: str = "pipedrive/crm/acme") -> dict[str, Any]:
    """Build a credential."""
    return manifests.credential(name, {"apiToken": {"path": path}})


def secret(name: str, **labels: str) -> dict[str, Any]:
    """Build a Secret."""
    return manifests.secret(name, metadata={"name": name, "labels": labels})


def labelled_secret(name: str) -> dict[str, Any]:
    """Build a Secret with the operator's label."""
    return secret(name, **{LABEL_CREDENTIAL: "acme"})


@dataclass
class ConnectionCounter:
    """Connects as a user, and counts the connections."""

    settings: KubernetesSettings
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _connected: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def connect(self, *middlewares: aiohttp.ClientMiddlewareType) -> tuple[str, aiohttp.ClientSession]:
        """Open a session in the thread of the watch."""
        self._loop.call_soon_threadsafe(self._connected.release)
        return await open_session(self.settings, *middlewares)

    async def until_connected(self, times: int) -> None:
        """Wait for that many connections more than the last call waited for."""
        async with asyncio.timeout(DEADLINE):
            for _ in range(times):
                await self._connected.acquire()
