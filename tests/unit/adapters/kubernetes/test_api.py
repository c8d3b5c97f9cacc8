"""What is sent to the API server, and what each response becomes."""

import asyncio
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web

from fakes.api_server import FakeApiServer, say
from pipedrive_operator import metrics
from pipedrive_operator.adapters.kubernetes.api import Api, ResponseTooLarge
from pipedrive_operator.adapters.kubernetes.endpoints import SECRETS
from pipedrive_operator.adapters.kubernetes.refusal import Refusal
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable

ENDPOINT = SECRETS.at(Key(namespace="crm", name="pipedrive"))


@pytest.fixture
async def api(server: FakeApiServer) -> AsyncIterator[Api]:
    """Open the client."""
    async with await Api.connect(server.settings()) as api:
        yield api


async def test_a_request_has_a_token_a_content_type_and_a_user_agent(server: FakeApiServer, api: Api) -> None:
    """The content type is always set: for a patch, the client library's default is another one."""
    await api.merge_patch(ENDPOINT, {"data": {"dropped": None}})

    (request,) = server.requests
    assert (request.method, request.path) == ("PATCH", "/api/v1/namespaces/crm/secrets/pipedrive")
    assert request.headers["Authorization"] == "Bearer a-token"
    assert request.headers["Content-Type"] == "application/merge-patch+json"
    assert request.headers["User-Agent"].startswith("pipedrive-operator/")
    assert json.loads(server.bodies[0]) == {"data": {"dropped": None}}


@pytest.mark.parametrize("status", [401, 408, 429, 500, 502, 503, 504])
async def test_a_response_that_says_nothing_about_the_request_is_no_refusal(
    server: FakeApiServer, api: Api, status: int
) -> None:
    """No matter what its body is."""
    for body in ({"kind": "Status", "message": "sorry"}, ["odd"]):
        server.answer = say(status, body)

        with pytest.raises(ApiServerUnavailable) as error:
            await api.get(ENDPOINT)

        assert not isinstance(error.value, Refusal)
        assert str(status) in str(error.value)


async def test_a_response_that_is_not_json_is_unusable(server: FakeApiServer, api: Api) -> None:
    """A proxy may respond instead of the API server, even with 200."""
    for status in (200, 403, 502):
        server.answer = say(status, "<html>welcome</html>")

        with pytest.raises(ApiServerUnavailable, match="not JSON"):
            await api.get(ENDPOINT)


async def test_a_failure_quotes_no_field_value(server: FakeApiServer, api: Api) -> None:
    """The message of an internal error may contain an object too."""
    server.answer = say(500, {"message": 'failed: Invalid value: "the-token": odd'})

    with pytest.raises(ApiServerUnavailable, match=r"Invalid value: \(hidden\): odd"):
        await api.create(SECRETS.collection("crm"), {})


async def test_a_refused_connection_is_unusable(server: FakeApiServer) -> None:
    """Nothing listens at the address."""
    server.address = "http://127.0.0.1:1"

    async with await Api.connect(server.settings()) as api:
        with pytest.raises(ApiServerUnavailable, match="did not respond"):
            await api.get(ENDPOINT)


async def test_a_response_that_does_not_end_is_unusable(server: FakeApiServer) -> None:
    """The time-out limits the whole request, including the body."""

    async def hang(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    server.answer = hang

    async with await Api.connect(server.settings(timeout=timedelta(seconds=0.2))) as api:
        with pytest.raises(ApiServerUnavailable, match="did not respond: TimeoutError"):
            await api.get(ENDPOINT)


async def test_each_request_is_counted(server: FakeApiServer, api: Api) -> None:
    """The metric has the labels verb, resource and code."""
    labels = {"service": "kubernetes", "operation": "get_secrets", "code": "404"}
    before = metrics.REGISTRY.get_sample_value("pipedrive_operator_requests_total", labels) or 0
    server.answer = say(404, {"message": "absent"})

    assert await api.get(ENDPOINT) is None

    assert metrics.REGISTRY.get_sample_value("pipedrive_operator_requests_total", labels) == before + 1


async def test_no_request_is_retried(server: FakeApiServer, api: Api) -> None:
    """Whether to try again is the caller's decision."""
    server.answer = say(503, {"message": "later"})

    with pytest.raises(ApiServerUnavailable):
        await api.get(ENDPOINT)

    assert len(server.requests) == 1


async def test_a_response_that_expands_without_end_costs_little_memory(server: FakeApiServer, api: Api) -> None:
    """A proxy in between may compress anything."""
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    body = b"".join([*(packer.compress(b" " * 1_000_000) for _ in range(200)), packer.flush()])

    async def bomb(_: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})

    server.answer = bomb
    tracemalloc.start()
    with pytest.raises(ResponseTooLarge, match="more than 8,388,608 bytes"):
        await api.get(ENDPOINT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 40_000_000


async def test_large_objects_are_listed_one_by_one(server: FakeApiServer, api: Api) -> None:
    """A hundred Secrets of a megabyte never are in memory together."""
    objects = [{"metadata": {"name": str(number)}, "data": {"k": "A" * 1_300_000}} for number in range(12)]
    sizes: list[int] = []

    async def page(request: web.Request) -> web.Response:
        limit, start = int(request.query["limit"]), int(request.query.get("continue", "0"))
        sizes.append(limit)
        shown = objects[start : start + limit]
        rest = {"continue": str(start + limit)} if start + limit < len(objects) else {}
        return web.json_response({"metadata": {"resourceVersion": "7"} | rest, "items": shown})

    server.answer = page
    listed = [item["metadata"]["name"] async for one in api.pages(SECRETS.collection(None)) for item in one.items]

    assert [str(number) for number in range(12)] == listed
    assert [500, 125, 31, 7, 1] == sizes[:5]
    assert {1} == set(sizes[5:])
