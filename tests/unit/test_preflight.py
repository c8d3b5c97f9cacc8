"""What `check` finds out about the cluster, from an API server that answers as told."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from fakes.api_server import FakeApiServer
from pipedrive_operator.config.settings import Settings
from pipedrive_operator.core.grant.document import TenantIdentity
from pipedrive_operator.preflight import Finding, examine, samples
from support.builders import GRANT_LOCATION, GRANT_SOURCE


@dataclass
class Cluster:
    """An API server that reviews rights and lists Secrets."""

    server: FakeApiServer
    denied: set[tuple[str, str]] = field(default_factory=set)
    """Verbs and resources."""
    escrow: list[str] = field(default_factory=list)
    lists_secrets: bool = True
    reviewed: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer."""
        if request.path.endswith("/selfsubjectaccessreviews"):
            return self._review(json.loads(await request.read()))
        if request.path == "/api/v1/namespaces/operators/secrets" and self.lists_secrets:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": [*map(_kept, self.escrow)]})
        return web.json_response({"kind": "Status", "code": 403, "message": "forbidden: a rule is missing"}, status=403)

    def _review(self, review: dict[str, Any]) -> web.Response:
        attributes = review["spec"]["resourceAttributes"]
        self.reviewed.append(attributes)
        is_allowed = (attributes["verb"], attributes["resource"]) not in self.denied
        return web.json_response(review | {"status": {"allowed": is_allowed}}, status=201)

    async def findings(self, **changes: Any) -> dict[str, Finding]:
        """Check, and return the findings by their steps."""
        kubeconfig = self.server.settings().kubeconfig
        values = {
            "kubernetes": {"kubeconfig": kubeconfig, "namespaces": ["crm"], "operator_namespace": "operators"},
            "pipedrive": {"api_url": "http://127.0.0.1:1"},
        }
        return {finding.step: finding for finding in await examine(Settings.model_validate(values | changes))}


def _kept(name: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": name,
            "resourceVersion": "1",
            "annotations": {"pipedrive-operator.io/grant": f"default: secret/{name}"},
        }
    }


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Run the API server."""
    made = Cluster(FakeApiServer(tmp_path))
    made.server.answer = made.answer
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.server.handle)
    async with TestServer(app) as running:
        made.server.address = str(running.make_url("/")).rstrip("/")
        yield made


async def test_all_rights_are_there(cluster: Cluster) -> None:
    """In the watched namespaces, and in the operator's own."""
    found = (await cluster.findings())["rights"]

    assert (found.ok, found.detail) == (True, "all that is needed")
    assert {attributes["namespace"] for attributes in cluster.reviewed} == {"crm", "operators"}


async def test_missing_rights_on_the_lease_are_told(cluster: Cluster) -> None:
    """With the Lease's name and namespace."""
    cluster.denied = {("patch", "leases"), ("create", "leases")}

    found = (await cluster.findings())["rights"]

    assert not found.ok
    assert found.detail == (
        "missing: create leases.coordination.k8s.io in namespace operators; "
        "patch leases.coordination.k8s.io pipedrive-operator in namespace operators"
    )
    assert found.remedy


async def test_without_leader_election_no_lease_is_needed(cluster: Cluster) -> None:
    """The escrow is needed all the same."""
    cluster.denied = {("patch", "leases")}

    found = (await cluster.findings(leader_election={"enabled": False}))["rights"]

    assert found.ok
    resources = {attributes["resource"] for attributes in cluster.reviewed if attributes["namespace"] == "operators"}
    assert resources == {"secrets"}


async def test_a_right_that_is_needed_twice_is_told_once(cluster: Cluster) -> None:
    """The operator may watch its own namespace."""
    cluster.denied = {("delete", "secrets")}
    kubernetes = {"kubeconfig": cluster.server.settings().kubeconfig, "namespaces": ["operators"]}

    found = (await cluster.findings(kubernetes=kubernetes | {"operator_namespace": "operators"}))["rights"]

    assert found.detail == "missing: delete secrets in namespace operators"


async def test_rights_on_workloads_are_needed_only_where_they_may_be_restarted(cluster: Cluster) -> None:
    """To patch them is power, which is not asked for without need."""
    cluster.denied = {("patch", "deployments")}

    assert (await cluster.findings())["rights"].ok
    found = (await cluster.findings(rollout={"enabled": True}))["rights"]

    assert found.detail == "missing: patch deployments.apps in namespace crm"


async def test_an_empty_escrow_is_well(cluster: Cluster) -> None:
    """Nothing waits."""
    found = (await cluster.findings())["escrow"]

    assert (found.ok, found.detail) == (True, "no refreshed grant waits for Vault")


@pytest.mark.parametrize(
    ("kept", "detail"),
    [
        (["a"], "1 refreshed grant waits for Vault: default: secret/a"),
        (["b", "a"], "2 refreshed grants wait for Vault: default: secret/a; default: secret/b"),
    ],
)
async def test_what_waits_in_escrow_is_counted_and_named(cluster: Cluster, kept: list[str], detail: str) -> None:
    """All is not well before Vault has it."""
    cluster.escrow = kept

    found = (await cluster.findings())["escrow"]

    assert (found.ok, found.detail) == (False, detail)
    assert "Vault" in found.remedy


async def test_an_escrow_that_may_not_be_listed_is_told(cluster: Cluster) -> None:
    """The other questions are answered all the same."""
    cluster.lists_secrets = False
    cluster.denied = {("list", "secrets")}

    found = await cluster.findings()

    assert not found["escrow"].ok
    assert "forbidden" in found["escrow"].detail
    assert "list secrets in namespace operators" in found["rights"].detail
    assert found["API server"].ok


def _settings(**kubernetes: Any) -> Settings:
    connection = {"address": "http://127.0.0.1:1", "pathPrefixes": ["pipedrive/{namespace}/"]}
    return Settings.model_validate({"vault": {"connections": {"default": connection}}, "kubernetes": kubernetes})


def test_rights_in_vault_are_asked_for_below_the_prefix_of_each_watched_namespace() -> None:
    """Before anybody has applied a credential."""
    found = samples("default", _settings(namespaces=["crm", "billing"]), [])

    assert ["secret/pipedrive/crm/example", "secret/pipedrive/billing/example"] == [str(one) for one in found]


def test_where_all_namespaces_are_watched_they_are_asked_for_the_grants_that_there_are() -> None:
    """A namespace that nobody uses may have no policy; a tenant's grant is the tenant's."""
    tenant = TenantIdentity(namespace="crm", service_account="crm", role="crm")
    theirs = replace(GRANT_SOURCE, identity=tenant, location=replace(GRANT_LOCATION, path="crm/theirs"))
    elsewhere = replace(GRANT_SOURCE, location=replace(GRANT_LOCATION, connection="another"))

    assert [GRANT_LOCATION] == samples("default", _settings(), [GRANT_SOURCE, GRANT_SOURCE, theirs, elsewhere])
    assert [] == samples("default", _settings(), [])
