"""What the operator must be allowed to do, and how it asks."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from pipedrive_operator.adapters.kubernetes.access import (
    Permission,
    missing,
    needed,
    needed_for_election,
    needed_for_escrow,
)
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.core.resource.names import Key
from support.fake_api_server import FakeApiServer

LEASE = Key(namespace="operators", name="leader")


@pytest.fixture
async def api(server: FakeApiServer) -> AsyncIterator[Api]:
    """Open the gateway."""
    async with await Api.connect(server.settings()) as api:
        yield api


async def allow_all_but_patches(request: web.Request) -> web.Response:
    """Answer a review as RBAC without a rule for patches."""
    review = json.loads(await request.read())
    verb = review["spec"]["resourceAttributes"]["verb"]
    return web.json_response(review | {"status": {"allowed": verb != "patch"}}, status=201)


def asked(server: FakeApiServer) -> list[dict[str, Any]]:
    """Return what was asked."""
    return [json.loads(body)["spec"]["resourceAttributes"] for body in server.bodies]


async def test_what_is_not_allowed_is_missing(server: FakeApiServer, api: Api) -> None:
    """In the order in which it was asked about."""
    server.answer = allow_all_but_patches

    lacking = await missing(api, [*needed(["crm"]), *needed_for_election(LEASE)])

    assert [str(permission) for permission in lacking] == [
        "patch pipedrivecredentials.pipedrive-operator.io/status in namespace crm",
        "patch secrets in namespace crm",
        "patch leases.coordination.k8s.io leader in namespace operators",
    ]


async def test_a_name_is_asked_about_by_its_name(server: FakeApiServer, api: Api) -> None:
    """A Role may allow that one Lease alone."""
    server.answer = allow_all_but_patches

    await missing(api, [Permission("get", "coordination.k8s.io", "leases", namespace="operators", name="leader")])

    assert asked(server) == [
        {
            "verb": "get",
            "group": "coordination.k8s.io",
            "resource": "leases",
            "subresource": "",
            "namespace": "operators",
            "name": "leader",
        }
    ]


def test_the_lease_is_read_created_and_patched() -> None:
    """A creation cannot be limited to a name."""
    rights = {(permission.verb, permission.name) for permission in needed_for_election(LEASE)}

    assert rights == {("get", "leader"), ("create", ""), ("patch", "leader")}


def test_the_escrow_needs_secrets_in_one_namespace() -> None:
    """They are not watched."""
    rights = needed_for_escrow("operators")

    assert {permission.verb for permission in rights} == {"get", "list", "create", "patch", "delete"}
    assert {(permission.resource, permission.namespace) for permission in rights} == {("secrets", "operators")}
