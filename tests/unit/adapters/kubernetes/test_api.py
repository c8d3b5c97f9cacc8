"""The gateway: what it sends, and what each answer becomes."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web

from pipedrive_operator import metrics
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.endpoints import SECRETS
from pipedrive_operator.adapters.kubernetes.refusal import Refusal
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from support.fake_api_server import FakeApiServer, say

ENDPOINT = SECRETS.at(Key(namespace="crm", name="pipedrive"))


@pytest.fixture
async def api(server: FakeApiServer) -> AsyncIterator[Api]:
    """Open the gateway."""
    async with await Api.connect(server.settings()) as api:
        yield api


async def test_says_who_asks_and_what_it_sends(server: FakeApiServer, api: Api) -> None:
    """The content type is always named: the client library's own choice for a patch is another."""
    await api.merge_patch(ENDPOINT, {"data": {"dropped": None}})

    (request,) = server.requests
    assert (request.method, request.path) == ("PATCH", "/api/v1/namespaces/crm/secrets/pipedrive")
    assert request.headers["Authorization"] == "Bearer a-token"
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.headers["User-Agent"].startswith("pipedrive-operator/")
    assert json.loads(server.bodies[0]) == {"data": {"dropped": None}}


@pytest.mark.parametrize("status", [401, 408, 429, 500, 502, 503, 504])
async def test_an_answer_that_says_nothing_about_the_request_is_no_refusal(
    server: FakeApiServer, api: Api, status: int
) -> None:
    """Whatever its body is."""
    for body in ({"kind": "Status", "message": "sorry"}, ["odd"]):
        server.answer = say(status, body)

        with pytest.raises(ApiServerUnavailable) as error:
            await api.get(ENDPOINT)

        assert not isinstance(error.value, Refusal)
        assert str(status) in str(error.value)


async def test_what_is_no_json_is_unusable(server: FakeApiServer, api: Api) -> None:
    """A proxy may answer in the API server's place, even with success."""
    for status in (200, 403, 502):
        server.answer = say(status, "<html>welcome</html>")

        with pytest.raises(ApiServerUnavailable, match="not JSON"):
            await api.get(ENDPOINT)


async def test_a_failure_quotes_no_field_value(server: FakeApiServer, api: Api) -> None:
    """An internal error may hold an object too."""
    server.answer = say(500, {"message": 'failed: Invalid value: "the-token": odd'})

    with pytest.raises(ApiServerUnavailable, match=r"Invalid value: \(hidden\): odd"):
        await api.create(SECRETS.collection("crm"), {})


async def test_nobody_at_the_address_is_unusable(server: FakeApiServer) -> None:
    """A refused connection."""
    server.address = "http://127.0.0.1:1"

    async with await Api.connect(server.settings()) as api:
        with pytest.raises(ApiServerUnavailable, match="gave no answer"):
            await api.get(ENDPOINT)


async def test_an_answer_that_does_not_end_is_unusable(server: FakeApiServer) -> None:
    """The time-out bounds the whole request, the body too."""

    async def hang(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    server.answer = hang

    async with await Api.connect(server.settings(timeout=timedelta(seconds=0.2))) as api:
        with pytest.raises(ApiServerUnavailable, match="gave no answer: TimeoutError"):
            await api.get(ENDPOINT)


async def test_counts_each_request(server: FakeApiServer, api: Api) -> None:
    """By verb, resource and code; without a code where there was no answer."""
    labels = {"service": "kubernetes", "operation": "get_secrets", "code": "404"}
    before = metrics.REGISTRY.get_sample_value("pipedrive_operator_requests_total", labels) or 0
    server.answer = say(404, {"message": "absent"})

    assert await api.get(ENDPOINT) is None

    assert metrics.REGISTRY.get_sample_value("pipedrive_operator_requests_total", labels) == before + 1


async def test_no_request_is_repeated(server: FakeApiServer, api: Api) -> None:
    """Whether to try again is the caller's decision."""
    server.answer = say(503, {"message": "later"})

    with pytest.raises(ApiServerUnavailable):
        await api.get(ENDPOINT)

    assert len(server.requests) == 1
