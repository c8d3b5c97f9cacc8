"""The front as a process, with its own rights on a real API server: two replicas, a crowd, and a flood of bad links."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from integration.kubernetes.rights import grant_rights
from pipedrive_operator.adapters.kubernetes.permissions import required_for_front
from pipedrive_operator.core.resource import consent_link
from pipedrive_operator.core.resource.names import CONSENT_KIND, CONSENT_PLURAL, GROUP, VERSION, Key
from pipedrive_operator.core.values.secret_value import SecretValue
from testbed.control_plane import ControlPlane
from testbed.front_process import FrontProcess

FLOWS: Final = 200
FLOOD: Final = 2000
PER_SECOND: Final = 40
LINK_KEY: Final = consent_link.key_from(bytes(range(32)))
WRONG_KEY: Final = consent_link.key_from(bytes(32))
PUBLIC_URL: Final = "https://connect.example.com"
OAUTH: Final = "https://oauth.pipedrive.com/oauth/authorize?client_id=a1"
GROWTH: Final = 48 * 1024 * 1024
"""In bytes: how much memory the crowd and the flood may cost; a thousand connections and their buffers fit."""


@pytest.fixture
def user(namespace: str) -> str:
    """Name the user that the front is."""
    return f"front-{namespace}"


@pytest.fixture
def replicas(
    control_plane: ControlPlane, crd: None, namespace: str, user: str, tmp_path: Path
) -> Iterator[tuple[FrontProcess, FrontProcess]]:
    """Run two replicas of the front, with the rights of the chart."""
    assert crd is None
    grant_rights(control_plane, user, required_for_front([namespace]))
    settings = {
        "kubernetes": {"kubeconfig": str(control_plane.kubeconfig_for(user)), "clusterName": "prod"},
        "consent": {"enabled": True, "publicUrl": PUBLIC_URL, "requestsPerSecond": PER_SECOND},
    }
    with (
        FrontProcess(settings, folder=tmp_path, name="front-1") as first,
        FrontProcess(settings, folder=tmp_path, name="front-2") as second,
    ):
        yield first, second


def offer(control_plane: ControlPlane, name: Key) -> None:
    """Create a consent, and report that its link can be used, as the operator does."""
    collection = f"/apis/{GROUP}/{VERSION}/namespaces/{name.namespace}/{CONSENT_PLURAL}"
    digest = consent_link.digest_of(consent_link.state_of(LINK_KEY, name))
    client = control_plane.client()
    client.create(
        collection,
        {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": CONSENT_KIND,
            "metadata": {"name": name.name},
            "spec": {"credential": "acme", "stateDigest": digest},
        },
    )
    condition = {
        "type": "Complete",
        "status": "False",
        "reason": "Waiting",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-03-01T12:00:00Z",
    }
    status: dict[str, Any] = {"observedGeneration": 1, "url": OAUTH, "conditions": [condition]}
    client.merge_patch(f"{collection}/{name.name}/status", {"status": status})


def answer_of(control_plane: ControlPlane, name: Key) -> Any:
    """Return the answer that is stored in a consent."""
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{name.namespace}/{CONSENT_PLURAL}/{name.name}"
    return control_plane.client().get(path)["spec"].get("answer")


async def patiently(session: aiohttp.ClientSession, method: str, url: str, **options: Any) -> aiohttp.ClientResponse:
    """Send a request as a browser does: after a page that says that the front is busy, again when it says so."""
    while True:
        response = await session.request(method, url, allow_redirects=False, **options)
        await response.read()
        if response.status != 503:
            return response
        await asyncio.sleep(float(response.headers["Refresh"]))  # what the page makes a browser do


async def walk(session: aiohttp.ClientSession, name: Key, *, begin: FrontProcess, end: FrontProcess) -> None:
    """Go through a consent: begin at one replica, and come back from Pipedrive to another."""
    page = f"/consent/{name}"
    link = f"http://127.0.0.1:{begin.port}{page}?key={LINK_KEY.reveal()}"
    shown = await patiently(session, "GET", link)
    redirect = await patiently(session, "POST", link)
    cookie = {"Cookie": redirect.headers["Set-Cookie"].partition(";")[0]}
    state = consent_link.state_of(LINK_KEY, name).reveal()
    back = f"http://127.0.0.1:{end.port}/callback?code=code-of-{name.name}&state={state}"
    stored = await patiently(session, "GET", back, headers=cookie)
    assert (200, 303, 303) == (shown.status, redirect.status, stored.status)
    assert f"{page}/result" == stored.headers["Location"]


async def flood(session: aiohttp.ClientSession, namespace: str, replica: FrontProcess) -> int:
    """Send bad links; return how many were answered without asking the API server."""

    async def send(number: int) -> int:
        url = f"http://127.0.0.1:{replica.port}/consent/{namespace}/acme-{number}?key={WRONG_KEY.reveal()}"
        async with session.get(url) as response:
            await response.read()
            return response.status

    statuses = await asyncio.gather(*(send(number) for number in range(FLOOD)))
    assert {404, 503} >= set(statuses)
    return statuses.count(503)


async def test_a_crowd_gets_through_a_flood_and_the_api_server_is_spared(
    control_plane: ControlPlane, namespace: str, user: str, replicas: tuple[FrontProcess, FrontProcess]
) -> None:
    """200 people at once, two thousand bad links; each of them may begin at one replica and come back to the other."""
    names = [Key(namespace=namespace, name=f"flow-{number}") for number in range(FLOWS)]
    for name in names:
        offer(control_plane, name)
    before = [replica.memory() for replica in replicas]
    begun = time.monotonic()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=400)) as session:
        flooding = asyncio.create_task(flood(session, namespace, replicas[0]))
        await asyncio.gather(
            *(walk(session, name, begin=replicas[i % 2], end=replicas[1 - i % 2]) for i, name in enumerate(names))
        )
        spared = await flooding

    seconds = time.monotonic() - begun
    sent = len(control_plane.requests(user))
    assert [f"code-of-{name.name}" for name in names] == [answer_of(control_plane, name)["code"] for name in names]
    assert spared > 0
    # Each replica has two buckets, which hold four seconds' worth; a stored answer is one request more.
    assert sent <= 2 * 2 * PER_SECOND * (seconds + 4) + FLOWS
    assert all(replica.memory() - old <= GROWTH for replica, old in zip(replicas, before, strict=True))


async def test_nothing_secret_is_logged(
    control_plane: ControlPlane, namespace: str, replicas: tuple[FrontProcess, FrontProcess]
) -> None:
    """This holds even if the API server refuses a request."""
    name, foreign = Key(namespace=namespace, name="flow"), Key(namespace="kube-system", name="flow")
    offer(control_plane, name)
    first, second = replicas
    async with aiohttp.ClientSession() as session:
        await walk(session, name, begin=first, end=second)
        async with session.get(f"http://127.0.0.1:{first.port}/consent/{foreign}?key={LINK_KEY.reveal()}") as refused:
            assert 503 == refused.status

    logged = "".join(replica.log.read_text() for replica in replicas)
    assert "serving the consent front" in logged
    assert "forbidden" in logged
    for secret in (LINK_KEY, consent_link.state_of(LINK_KEY, name), SecretValue("code-of-flow")):
        assert secret.reveal() not in logged
