"""The watch against a real API server: what it delivers, and how it comes back."""

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
from pipedrive_operator.adapters.kubernetes.crd_version import NAME
from pipedrive_operator.adapters.kubernetes.watch.thread import OpenSession, Watch
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from support.crd import install_crd
from support.watched import Cluster, Delivered, User, credential, ours, secret
from testbed.control_plane import ControlPlane


@pytest.fixture(autouse=True)
def with_crd(crd: None) -> None:
    """Let every test have the CRD."""
    assert crd is None


@pytest.fixture
def changed_crd(control_plane: ControlPlane) -> Iterator[None]:
    """Install the CRD again, which the test has taken away or changed."""
    yield
    install_crd(control_plane)


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    """Return what changes the cluster."""
    return Cluster(control_plane, namespace)


@pytest.fixture
async def delivered(namespace: str) -> Delivered:
    """Return what takes the events."""
    return Delivered(namespace)


@pytest.fixture
async def user(control_plane: ControlPlane) -> User:
    """Return what connects the watch."""
    return User(KubernetesSettings(kubeconfig=control_plane.kubeconfig))


class Watching(Protocol):
    """Runs a watch for the length of a block."""

    def __call__(
        self, connect: OpenSession | None = None, *, namespaces: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[Watch]:
        """OpenSession as administrator by default."""


@pytest.fixture
def watching(user: User, delivered: Delivered) -> Watching:
    """Return what runs a watch."""

    @asynccontextmanager
    async def run(connect: OpenSession | None = None, *, namespaces: Sequence[str] = ()) -> AsyncIterator[Watch]:
        watch = Watch(
            connect or user.connect,
            delivered.take,
            SystemClock(),
            on_interruption=delivered.interrupt,
            namespaces=namespaces,
        )
        watch.start()
        try:
            yield watch
        finally:
            await watch.stop()

    return run


async def test_delivers_what_is_there_and_what_changes(
    cluster: Cluster, delivered: Delivered, watching: Watching
) -> None:
    """Existing objects come first, then each change; all in the thread of the main loop."""
    await cluster.apply(credential("old"), ours("old"))

    async with watching():
        await delivered.until(("credential", None, "old"), ("secret", None, "old"))
        await cluster.apply(credential("new"), ours("new"))
        await delivered.until(("credential", "ADDED", "new"), ("secret", "ADDED", "new"))
        await cluster.apply(credential("new", path="pipedrive/crm/other"))
        await delivered.until(("credential", "MODIFIED", "new"))
        await cluster.kubectl("delete", "pipedrivecredential/new", "secret/new")
        await delivered.until(("credential", "DELETED", "new"), ("secret", "DELETED", "new"))

    assert delivered.threads == {threading.get_ident()}


async def test_receives_no_foreign_secret(cluster: Cluster, delivered: Delivered, watching: Watching) -> None:
    """Of many Secrets, only those that carry our label are delivered, before and after the watch began."""
    await cluster.apply(*(secret(f"foreign-{number}") for number in range(50)), ours("first"))

    async with watching():
        await delivered.until(("secret", None, "first"))
        await cluster.apply(secret("foreign-late"), secret("foreign-0", changed="yes"), ours("last"))
        await delivered.until(("secret", "ADDED", "last"))

    assert {name for _, _, name in delivered.events} == {"first", "last"}


async def test_watches_only_the_namespaces_it_is_told(
    cluster: Cluster, control_plane: ControlPlane, delivered: Delivered, watching: Watching
) -> None:
    """With namespaces, nothing of another one is asked for, so a Role there is enough."""
    name = f"reader-of-{cluster.namespace}"
    for kind, options in (
        ("role", ["--verb=list,watch", f"--resource=secrets,{NAME}"]),
        ("rolebinding", ["--role=reader", f"--user={name}"]),
    ):
        await cluster.kubectl("create", kind, "reader", *options)
    reader = User(KubernetesSettings(kubeconfig=control_plane.kubeconfig_for(name, ["system:authenticated"])))

    async with watching(reader.connect, namespaces=[cluster.namespace]):
        await cluster.apply(credential("here"), ours("here"))
        await delivered.until_seen("here", "credential", "secret")


async def test_recovers_by_itself_when_the_api_server_restarts(
    cluster: Cluster, control_plane: ControlPlane, delivered: Delivered, watching: Watching
) -> None:
    """What changed meanwhile is delivered, without anybody's help."""
    await cluster.apply(credential("old"))

    async with watching():
        await delivered.until(("credential", None, "old"))
        await asyncio.to_thread(control_plane.restart_apiserver)
        await cluster.apply(credential("meanwhile"), ours("meanwhile"))
        await delivered.until_seen("meanwhile", "credential", "secret")


@pytest.mark.usefixtures("changed_crd")
async def test_waits_for_a_crd_that_is_not_there(
    cluster: Cluster, control_plane: ControlPlane, delivered: Delivered, watching: Watching, user: User
) -> None:
    """Without a CRD, kopf would idle for ever; the watch looks for it again and again."""
    await cluster.remove_crd()

    async with watching():
        await user.until_connected(2)
        await asyncio.to_thread(install_crd, control_plane)
        await cluster.apply(credential("acme"))
        await delivered.until_seen("acme", "credential")


@pytest.mark.usefixtures("changed_crd")
async def test_survives_a_crd_that_goes_and_comes_back(
    cluster: Cluster, control_plane: ControlPlane, delivered: Delivered, watching: Watching
) -> None:
    """Whatever kopf makes of that."""
    await cluster.apply(credential("old"))

    async with watching():
        await delivered.until_seen("old", "credential")
        await cluster.remove_crd()
        await asyncio.to_thread(install_crd, control_plane)
        await cluster.apply(credential("new"))
        await delivered.until_seen("new", "credential")


@pytest.mark.usefixtures("changed_crd")
async def test_a_schema_that_is_replaced_is_an_interruption(
    cluster: Cluster, delivered: Delivered, watching: Watching
) -> None:
    """The API server ends the watch; a change that leaves the schema alone does not. The beginning is one too."""
    schema = "/spec/versions/0/schema/openAPIV3Schema/description"
    patch = json.dumps([{"op": "add", "path": schema, "value": f"Of {cluster.namespace}"}])
    await cluster.apply(credential("old"))

    async with watching():
        await delivered.until_seen("old", "credential")
        await delivered.until_interrupted(1)
        await cluster.kubectl("annotate", "crd", NAME, "--overwrite", f"test={cluster.namespace}")
        await cluster.apply(credential("new"))
        await delivered.until_seen("new", "credential")
        assert 1 == delivered.interruptions

        await cluster.kubectl("patch", "crd", NAME, "--type=json", f"--patch={patch}")
        await delivered.until_interrupted(2)

    assert delivered.threads == {threading.get_ident()}


async def test_restarts_when_it_is_told(cluster: Cluster, delivered: Delivered, watching: Watching) -> None:
    """A restart lists everything anew."""
    await cluster.apply(credential("old"))

    async with watching() as watch:
        await delivered.until(("credential", None, "old"))
        delivered.events.clear()
        watch.restart()
        await delivered.until(("credential", None, "old"))


async def test_starts_again_after_a_failed_login(
    cluster: Cluster, delivered: Delivered, watching: Watching, user: User
) -> None:
    """Neither the first request to the API nor kopf's login stops trying."""
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
        await delivered.until(("credential", None, "old"))


async def test_starts_again_after_a_crash(
    cluster: Cluster, delivered: Delivered, watching: Watching, user: User
) -> None:
    """An error that ends kopf ends neither the thread nor the process."""
    crashed, streaming = asyncio.Event(), asyncio.Event()

    async def crash(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Let the watch of Secrets fail once, when the other one has begun."""
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
        await delivered.until(("credential", None, "old"))
        await cluster.apply(ours("new"))
        await delivered.until_seen("new", "secret")
    assert crashed.is_set()


async def test_tells_how_long_the_api_server_was_silent(
    cluster: Cluster, delivered: Delivered, watching: Watching
) -> None:
    """The age is that of the last answer to the most silent of the watches."""
    await cluster.apply(credential("old"), ours("old"))

    async with watching() as watch:
        began = time.monotonic()
        await delivered.until(("credential", None, "old"), ("secret", None, "old"))

        assert 0 <= watch.age() < time.monotonic() - began


async def test_stops_at_once_and_leaves_no_thread(cluster: Cluster, delivered: Delivered, watching: Watching) -> None:
    """A stop takes well under a second, whatever the watch is doing, and can be repeated."""
    before = set(threading.enumerate())
    await cluster.apply(credential("old"))

    async with watching() as watch:
        await delivered.until(("credential", None, "old"))
        began = time.monotonic()
        await watch.stop()

        assert time.monotonic() - began < 1
        assert not watch.alive
    async with watching():
        pass
    assert {thread for thread in threading.enumerate() if "asyncio" not in thread.name} <= before
