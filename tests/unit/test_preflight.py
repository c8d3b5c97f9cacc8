"""What `check` finds, with a fake API server."""

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
from pipedrive_operator.preflight import check_everything
from pipedrive_operator.preflight.finding import Finding
from pipedrive_operator.preflight.vault import locations_to_check
from support.builders import GRANT_LOCATION, GRANT_SOURCE


@dataclass
class Cluster:
    """An API server that reviews permissions and lists the Secrets of the escrow."""

    server: FakeApiServer
    denied: set[tuple[str, str]] = field(default_factory=set)
    """Verbs and resources that are denied."""
    escrow: list[str] = field(default_factory=list)
    lists_secrets: bool = True
    reviewed: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Respond to a request."""
        if request.path.endswith("/selfsubjectaccessreviews"):
            return self._review(json.loads(await request.read()))
        if request.path == "/api/v1/namespaces/operators/secrets" and self.lists_secrets:
            return web.json_response(
                {"metadata": {"resourceVersion": "1"}, "items": [*map(_escrow_secret, self.escrow)]}
            )
        return web.json_response({"kind": "Status", "code": 403, "message": "forbidden: a rule is missing"}, status=403)

    def _review(self, review: dict[str, Any]) -> web.Response:
        attributes = review["spec"]["resourceAttributes"]
        self.reviewed.append(attributes)
        is_allowed = (attributes["verb"], attributes["resource"]) not in self.denied
        return web.json_response(review | {"status": {"allowed": is_allowed}}, status=201)

    async def findings(self, **changes: Any) -> dict[str, Finding]:
        """Check everything, and return the findings by step."""
        kubeconfig = self.server.settings().kubeconfig
        values = {
            "kubernetes": {"kubeconfig": kubeconfig, "namespaces": ["crm"], "operator_namespace": "operators"},
            "pipedrive": {"api_url": "http://127.0.0.1:1"},
        }
        return {finding.step: finding for finding in await check_everything(Settings.model_validate(values | changes))}


def _escrow_secret(name: str) -> dict[str, Any]:
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
    """Start the API server."""
    made = Cluster(FakeApiServer(tmp_path))
    made.server.answer = made.answer
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.server.handle)
    async with TestServer(app) as running:
        made.server.address = str(running.make_url("/")).rstrip("/")
        yield made


async def test_all_permissions_are_granted(cluster: Cluster) -> None:
    """They are needed in the watched namespaces, and in the operator's own."""
    found = (await cluster.findings())["permissions"]

    assert (found.ok, found.detail) == (True, "all granted")
    assert {attributes["namespace"] for attributes in cluster.reviewed} == {"crm", "operators"}


async def test_missing_permissions_on_the_lease_are_reported(cluster: Cluster) -> None:
    """The finding names the Lease and its namespace."""
    cluster.denied = {("patch", "leases"), ("create", "leases")}

    found = (await cluster.findings())["permissions"]

    assert not found.ok
    assert found.detail == (
        "missing: create leases.coordination.k8s.io in namespace operators; "
        "patch leases.coordination.k8s.io pipedrive-operator in namespace operators"
    )
    assert found.remedy


async def test_without_leader_election_no_permission_on_the_lease_is_required(cluster: Cluster) -> None:
    """The permissions for the escrow still are."""
    cluster.denied = {("patch", "leases")}

    found = (await cluster.findings(leader_election={"enabled": False}))["permissions"]

    assert found.ok
    resources = {attributes["resource"] for attributes in cluster.reviewed if attributes["namespace"] == "operators"}
    assert resources == {"secrets"}


async def test_a_permission_that_is_required_twice_is_reported_once(cluster: Cluster) -> None:
    """The operator may watch its own namespace, where the escrow is."""
    cluster.denied = {("delete", "secrets")}
    kubernetes = {"kubeconfig": cluster.server.settings().kubeconfig, "namespaces": ["operators"]}

    found = (await cluster.findings(kubernetes=kubernetes | {"operator_namespace": "operators"}))["permissions"]

    assert found.detail == "missing: delete secrets in namespace operators"


async def test_permissions_on_workloads_are_required_only_for_restarts(cluster: Cluster) -> None:
    """Permission to patch workloads is powerful, so it is not required without need."""
    cluster.denied = {("patch", "deployments")}

    assert (await cluster.findings())["permissions"].ok
    found = (await cluster.findings(rollout={"enabled": True}))["permissions"]

    assert found.detail == "missing: patch deployments.apps in namespace crm"


async def test_an_empty_escrow_passes(cluster: Cluster) -> None:
    """Vault has stored everything."""
    found = (await cluster.findings())["escrow"]

    assert (found.ok, found.detail) == (True, "empty: Vault has stored every refreshed grant")


@pytest.mark.parametrize(
    ("kept", "detail"),
    [
        (["a"], "1 refreshed grant is not stored in Vault yet: default: secret/a"),
        (["b", "a"], "2 refreshed grants are not stored in Vault yet: default: secret/a; default: secret/b"),
    ],
)
async def test_grants_in_escrow_are_counted_and_named(cluster: Cluster, kept: list[str], detail: str) -> None:
    """The check fails until Vault has stored them."""
    cluster.escrow = kept

    found = (await cluster.findings())["escrow"]

    assert (found.ok, found.detail) == (False, detail)
    assert "Vault" in found.remedy


async def test_a_denied_list_of_the_escrow_is_reported(cluster: Cluster) -> None:
    """The other checks run all the same."""
    cluster.lists_secrets = False
    cluster.denied = {("list", "secrets")}

    found = await cluster.findings()

    assert not found["escrow"].ok
    assert "forbidden" in found["escrow"].detail
    assert "list secrets in namespace operators" in found["permissions"].detail
    assert found["API server"].ok


def _settings(**kubernetes: Any) -> Settings:
    connection = {"address": "http://127.0.0.1:1", "pathPrefixes": ["pipedrive/{namespace}/"]}
    return Settings.model_validate({"vault": {"connections": {"default": connection}}, "kubernetes": kubernetes})


def test_access_is_checked_below_each_prefix_for_each_watched_namespace() -> None:
    """This needs no credential."""
    found = locations_to_check("default", _settings(namespaces=["crm", "billing"]), [])

    assert ["secret/pipedrive/crm/example", "secret/pipedrive/billing/example"] == [str(one) for one in found]


def test_access_is_checked_at_existing_grants_if_all_namespaces_are_watched() -> None:
    """A namespace without credentials needs no policy. A tenant's grant is read by the tenant, not by the operator."""
    tenant = TenantIdentity(namespace="crm", service_account="crm", role="crm")
    theirs = replace(GRANT_SOURCE, identity=tenant, location=replace(GRANT_LOCATION, path="crm/theirs"))
    elsewhere = replace(GRANT_SOURCE, location=replace(GRANT_LOCATION, connection="another"))

    assert [GRANT_LOCATION] == locations_to_check(
        "default", _settings(), [GRANT_SOURCE, GRANT_SOURCE, theirs, elsewhere]
    )
    assert [] == locations_to_check("default", _settings(), [])


async def test_an_accepted_lack_of_encryption_is_shown(cluster: Cluster) -> None:
    """It is no failure, because somebody has accepted it."""
    pipedrive = {"api_url": "http://192.0.2.1:1", "insecure": True, "timeout": "1s"}

    assert "encryption" not in await cluster.findings()
    found = (await cluster.findings(pipedrive=pipedrive))["encryption"]

    assert found.ok
    assert "pipedrive: the setting insecure" in found.detail


def test_a_finding_is_masked() -> None:
    """This is the last defence, as in the log."""
    finding = Finding(step="s", ok=False, detail=f"got {'ab' * 20}", remedy="use hvs.CAESIJx1dGVzdHRlc3R0ZXN0dGVzdA")

    assert "s: got (hidden)\n  -> use (hidden)" in finding.as_text(unicode=False)
    assert ("got (hidden)", "use (hidden)") == (finding.as_dict()["detail"], finding.as_dict()["remedy"])
