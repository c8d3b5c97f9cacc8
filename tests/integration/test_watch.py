"""The watch on a real API server: which events it delivers, and how it recovers."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import aiohttp
import pytest

from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.kubernetes.crd_version import CRD_NAME
from pipedrive_operator.adapters.kubernetes.watch.thread import OpenSession, Watch
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from support.crd import install_crd
from support.watched import ConnectionCounter, Delivered, WatchedNamespace, credential, labelled_secret, secret
from testbed.control_plane import ControlPlane


@pytest.fixture(autouse=True)
def with_crd(crd: None) -> None:
    """Install the CRD before each test."""
    assert crd is None


@pytest.fixture
def changed_crd(control_plane: ControlPlane) -> Iterator[None]:
    """Install the CRD again after a test that deletes or changes it."""
    yield
    install_crd(control_plane)


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> WatchedNamespace:
    """Return an object that changes the cluster."""
    return WatchedNamespace(control_plane, namespace)


@pytest.fixture
async def delivered(control_plane: ControlPlane, namespace: str) -> Delivered:
    """Return an object that collects the events."""
    return Delivered(namespace, control_plane.client())


@pytest.fixture
async def user(control_plane: ControlPlane) -> ConnectionCounter:
    """Return an object that opens the session of the watch."""
    return ConnectionCounter(KubernetesSettings(kubeconfig=control_plane.kubeconfig))


class Watching(Protocol):
    """Runs a watch for the length of a `with` block."""

    def __call__(
        self, connect: OpenSession | None = None, *, namespaces: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[Watch]:
        """Run the watch; by default, as administrator."""


@pytest.fixture
def watching(user: ConnectionCounter, delivered: Delivered) -> Watching:
    """Return a function that runs a watch."""

    @asynccontextmanager
    async def run(connect: OpenSession | None = None, *, namespaces: Sequence[str] = ()) -> AsyncIterator[Watch]:
        watch = Watch(
            connect or user.connect,
            delivered.take,
            SystemClock(),
            on_interruption=delivered.interrupt,
            on_list=delivered.note_list,
            namespaces=namespaces,
        )
        watch.start()
        try:
            yield watch
        finally:
            await watch.stop()

    return run


async def test_asks_for_a_list_and_delivers_what_changes_from_then_on(
    cluster: WatchedNamespace, delivered: Delivered, watching: Watching
) -> None:
    """Existing objects are not delivered; everything happens in the thread of the main loop."""
    await cluster.apply(credential("old"), labelled_secret("old"))

    async with watching():
        await delivered.until_listed()
        await cluster.apply(credential("new"), labelled_secret("new"))
        await delivered.until(("credential", "ADDED", "new"), ("secret", "ADDED", "new"))
        await cluster.apply(credential("new", path="pipedrive/crm/other"))
        await delivered.until(("credential", "MODIFIED", "new"))
        await cluster.kubectl("delete", "pipedrivecredential/new", "secret/new")
        await delivered.until(("credential", "DELETED", "new"), ("secret", "DELETED", "new"))

    assert "old" not in {name for _, _, name in delivered.events}
    assert delivered.threads == {threading.get_ident()}


async def test_receives_no_foreign_secret(cluster: WatchedNamespace, delivered: Delivered, watching: Watching) -> None:
    """Of many Secrets, only those with the operator's label are delivered, before and after the watch has started."""
    await cluster.apply(*(secret(f"foreign-{number}") for number in range(50)), labelled_secret("first"))

    async with watching():
        await delivered.until_listed()
        await cluster.apply(secret("foreign-late"), secret("foreign-0", changed="yes"), labelled_secret("last"))
        await delivered.until(("secret", "ADDED", "last"))

    assert {name for _, _, name in delivered.events} == {"last"}


async def test_watches_only_the_given_namespaces(
    cluster: WatchedNamespace, control_plane: ControlPlane, delivered: Delivered, watching: Watching
) -> None:
    """It sends no request about other namespaces, so a Role in each is sufficient."""
    name = f"reader-of-{cluster.namespace}"
    for kind, options in (
        ("role", ["--verb=list,watch", f"--resource=secrets,{CRD_NAME}"]),
        ("rolebinding", ["--role=reader", f"--user={name}"]),
    ):
        await cluster.kubectl("create", kind, "reader", *options)
    reader = ConnectionCounter(
        KubernetesSettings(kubeconfig=control_plane.kubeconfig_for(name, ["system:authenticated"]))
    )

    async with watching(reader.connect, namespaces=[cluster.namespace]):
        await delivered.until_listed()
        await cluster.apply(credential("here"), labelled_secret("here"))
        await delivered.until_seen("here", "credential", "secret")


async def test_recovers_when_the_api_server_restarts(
    cluster: WatchedNamespace, control_plane: ControlPlane, delivered: Delivered, watching: Watching
) -> None:
    """It delivers what changed in the meantime, without any intervention."""
    await cluster.apply(credential("old"))

    async with watching():
        await delivered.until_listed()
        await asyncio.to_thread(control_plane.restart_apiserver)
        await cluster.apply(credential("meanwhile"), labelled_secret("meanwhile"))
        await delivered.until_known("meanwhile", "credential", "secret")


@pytest.mark.usefixtures("changed_crd")
async def test_waits_for_a_missing_crd(
    cluster: WatchedNamespace,
    control_plane: ControlPlane,
    delivered: Delivered,
    watching: Watching,
    user: ConnectionCounter,
) -> None:
    """Without a CRD kopf would stay idle for ever, so the watch checks again periodically."""
    await cluster.remove_crd()

    async with watching():
        await user.until_connected(2)
        await asyncio.to_thread(install_crd, control_plane)
        await cluster.apply(credential("acme"))
        await delivered.until_known("acme", "credential")


@pytest.mark.usefixtures("changed_crd")
async def test_survives_a_crd_that_is_deleted_and_created_again(
    cluster: WatchedNamespace, control_plane: ControlPlane, delivered: Delivered, watching: Watching
) -> None:
    """This holds however kopf reacts to it."""
    await cluster.apply(credential("old"))

    async with watching():
        await delivered.until_listed()
        await cluster.remove_crd()
        await asyncio.to_thread(install_crd, control_plane)
        await cluster.apply(credential("new"))
        await delivered.until_known("new", "credential")


@pytest.mark.usefixtures("changed_crd")
async def test_a_replaced_schema_is_an_interruption(
    cluster: WatchedNamespace, delivered: Delivered, watching: Watching
) -> None:
    """The API server then ends the watch. A start is an interruption, too; another change of the CRD is not."""
    schema = "/spec/versions/0/schema/openAPIV3Schema/description"
    patch = json.dumps([{"op": "add", "path": schema, "value": f"Of {cluster.namespace}"}])
    await cluster.apply(credential("old"))

    async with watching():
        await delivered.until_listed()
        await delivered.until_interrupted(1)
        await cluster.kubectl("annotate", "crd", CRD_NAME, "--overwrite", f"test={cluster.namespace}")
        await cluster.apply(credential("new"))
        await delivered.until_seen("new", "credential")
        assert 1 == delivered.interruptions

        await cluster.kubectl("patch", "crd", CRD_NAME, "--type=json", f"--patch={patch}")
        await delivered.until_interrupted(2)

    assert delivered.threads == {threading.get_ident()}


async def test_restarts_on_request(cluster: WatchedNamespace, delivered: Delivered, watching: Watching) -> None:
    """A restart asks for another list."""
    await cluster.apply(credential("old"))

    async with watching() as watch:
        await delivered.until_listed()
        watch.restart()
        await delivered.until_listed(4)


async def test_starts_again_after_a_failed_login(
    cluster: WatchedNamespace, delivered: Delivered, watching: Watching, user: ConnectionCounter
) -> None:
    """Both the first request to the API server and kopf's login are repeated."""
    attempts = 0

    async def connect(middleware: aiohttp.ClientMiddlewareType) -> tuple[str, aiohttp.ClientSession]:
        nonlocal attempts
        attempts += 1
        if attempts in {1, 3}:
            message = "no token yet"
            raise ApiServerUnavailable(message)
        return await user.connect(middleware)

    await cluster.apply(credential("old"))

    async with watching(connect):
        await delivered.until_listed()


async def test_starts_again_after_a_crash(
    cluster: WatchedNamespace, delivered: Delivered, watching: Watching, user: ConnectionCounter
) -> None:
    """An error that ends kopf ends neither the thread nor the process."""
    crashed, streaming = asyncio.Event(), asyncio.Event()

    async def crash(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Make the watch of Secrets fail once, after the other one has started."""
        if "watch" in request.url.query and request.url.path.endswith("/secrets") and not crashed.is_set():
            await streaming.wait()
            crashed.set()
            raise ZeroDivisionError
        response = await handler(request)
        if "watch" in request.url.query:
            streaming.set()
        return response

    async def connect(middleware: aiohttp.ClientMiddlewareType) -> tuple[str, aiohttp.ClientSession]:
        return await user.connect(middleware, crash)

    await cluster.apply(credential("old"))

    async with watching(connect):
        await delivered.until_listed()
        await cluster.apply(labelled_secret("new"))
        await delivered.until_known("new", "secret")
    assert crashed.is_set()


async def test_reports_how_long_the_api_server_was_silent(
    cluster: WatchedNamespace, delivered: Delivered, watching: Watching
) -> None:
    """The age is that of the last response to the watch that was silent for longest."""
    await cluster.apply(credential("old"), labelled_secret("old"))

    async with watching() as watch:
        began = time.monotonic()
        await delivered.until_listed()

        assert 0 <= watch.age() < time.monotonic() - began


async def test_stops_at_once_and_leaves_no_thread(
    cluster: WatchedNamespace, delivered: Delivered, watching: Watching
) -> None:
    """A stop takes less than a second in any state, and can be repeated."""
    before = set(threading.enumerate())
    await cluster.apply(credential("old"))

    async with watching() as watch:
        await delivered.until_listed()
        began = time.monotonic()
        await watch.stop()

        assert time.monotonic() - began < 1
        assert not watch.alive
    async with watching():
        pass
    assert {thread for thread in threading.enumerate() if "asyncio" not in thread.name} <= before
