"""Which permissions the operator requires, and how it finds out which it lacks."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from fakes.api_server import FakeApiServer
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.permissions import (
    Permission,
    missing,
    required,
    required_for_election,
    required_for_escrow,
)
from pipedrive_operator.core.resource.names import Key

LEASE = Key(namespace="operators", name="leader")


@pytest.fixture
async def api(server: FakeApiServer) -> AsyncIterator[Api]:
    """Open the client."""
    async with await Api.connect(server.settings()) as api:
        yield api


async def allow_all_but_patches(request: web.Request) -> web.Response:
    """Answer a review as an API server whose RBAC has no rule for patches."""
    review = json.loads(await request.read())
    verb = review["spec"]["resourceAttributes"]["verb"]
    return web.json_response(review | {"status": {"allowed": verb != "patch"}}, status=201)


def reviewed(server: FakeApiServer) -> list[dict[str, Any]]:
    """Return the attributes of the reviews that were requested."""
    return [json.loads(body)["spec"]["resourceAttributes"] for body in server.bodies]


async def test_denied_permissions_are_missing(server: FakeApiServer, api: Api) -> None:
    """They are returned in the order of the question."""
    server.answer = allow_all_but_patches

    lacking = await missing(api, [*required(["crm"]), *required_for_election(LEASE)])

    assert [str(permission) for permission in lacking] == [
        "patch pipedrivecredentials.pipedrive-operator.io/status in namespace crm",
        "patch secrets in namespace crm",
        "patch leases.coordination.k8s.io leader in namespace operators",
    ]


async def test_a_permission_on_a_named_object_is_reviewed_with_its_name(server: FakeApiServer, api: Api) -> None:
    """A Role may allow only that one Lease."""
    server.answer = allow_all_but_patches

    await missing(api, [Permission("get", "coordination.k8s.io", "leases", namespace="operators", name="leader")])

    assert reviewed(server) == [
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
    """RBAC cannot limit a creation to one name."""
    rights = {(permission.verb, permission.name) for permission in required_for_election(LEASE)}

    assert rights == {("get", "leader"), ("create", ""), ("patch", "leader")}


def test_the_escrow_needs_secrets_in_one_namespace() -> None:
    """They are not watched."""
    rights = required_for_escrow("operators")

    assert {permission.verb for permission in rights} == {"get", "list", "create", "delete"}
    assert {(permission.resource, permission.namespace) for permission in rights} == {("secrets", "operators")}
