"""The chart grants the operator the permissions that it uses, and no others: it misses each verb that is removed.

The operator runs as a process, which is quick, with the ServiceAccount of a release that watches its own namespace.
The API server's audit log shows what it is refused.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from support.chart import CHART
from support.consent_deployment import Offer
from support.tenant import APP_PATH, Tenant, eventually
from testbed.control_plane import ControlPlane
from testbed.helm import Helm
from testbed.openbao import OpenBao
from testbed.operator_process import OperatorProcess
from testbed.pipedrive.client import ControlClient

Json = dict[str, Any]
ACCOUNT = "pipedrive-operator"
ROLES = {"Role", "ClusterRole"}
POLICY = 'path "secret/data/*" { capabilities = ["read", "create", "update"] }'


class Right(NamedTuple):
    """One verb on one resource."""

    verb: str
    resource: str

    def __str__(self) -> str:
        """Format it as the reader of the audit log does."""
        return f"{self.verb} {self.resource}"


RIGHTS = [
    Right("get", "customresourcedefinitions"),
    *(Right(verb, "pipedrivecredentials") for verb in ("list", "watch")),
    Right("patch", "pipedrivecredentials/status"),
    *(Right(verb, "secrets") for verb in ("get", "list", "watch", "create", "patch", "delete")),
    Right("create", "events"),
    *(Right(verb, "leases") for verb in ("create", "get", "patch")),
    *(Right(verb, "pipedriveconsents") for verb in ("list", "watch")),
    Right("patch", "pipedriveconsents/status"),
]
AFTER_AN_HOUR = [Right("delete", "pipedriveconsents")]
"""A consent that has ended is deleted later than a test can wait for."""


def granted(manifests: list[Json]) -> Iterator[Right]:
    """Yield the permissions that roles grant to the operator, one verb at a time."""
    bound = {one["roleRef"]["name"] for one in manifests if one["kind"].endswith("Binding")}
    for role in manifests:
        if role["kind"] in ROLES and role["metadata"]["name"] in bound:
            for rule in role["rules"]:
                yield from (Right(verb, resource) for verb in rule["verbs"] for resource in rule["resources"])


def without(right: Right, manifest: Json) -> Json:
    """Return the manifest; if it is a role, without that right."""
    if manifest["kind"] not in ROLES:
        return manifest
    rules = [
        {**rule, "resources": [resource], "verbs": verbs}
        for rule in manifest["rules"]
        for resource in rule["resources"]
        if (verbs := [verb for verb in rule["verbs"] if Right(verb, resource) != right])
    ]
    return {**manifest, "rules": rules}


@pytest.fixture
def manifests(helm: Helm, namespace: str) -> list[Json]:
    """Render the RBAC objects of a release in the namespace of the test."""
    options = (
        f"--namespace={namespace}",
        f"--set=watchNamespaces={{{namespace}}}",
        f"--set=fullnameOverride={ACCOUNT}",
        "--set=consent.enabled=true",
    )
    rendered = [one for one in yaml.safe_load_all(helm("template", "x", str(CHART), *options)) if one]
    return [one for one in rendered if one["kind"] in {"ServiceAccount", *ROLES, "RoleBinding", "ClusterRoleBinding"}]


@pytest.fixture
def tenant(
    control_plane: ControlPlane, openbao: OpenBao, pipedrive: ControlClient, namespace: str, client_id: str
) -> Tenant:
    """Provide the namespace and the company of the team."""
    return Tenant(cluster=control_plane, openbao=openbao, pipedrive=pipedrive, namespace=namespace, client_id=client_id)


@pytest.fixture
def start(tenant: Tenant, manifests: list[Json], tmp_path: Path) -> Iterator[Callable[[Right | None], None]]:
    """Return a function that starts an operator with all rights except one."""
    operators: list[OperatorProcess] = []

    def started(right: Right | None) -> None:
        items = [without(right, one) if right else one for one in manifests]
        tenant.cluster.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(items))
        operator = OperatorProcess(_settings(tenant, tmp_path), folder=tmp_path)
        operators.append(operator)
        operator.start()

    yield started
    for operator in operators:
        operator.stop()


def play(tenant: Tenant, *, until: Callable[[], bool] = lambda: False) -> None:
    """Go through the situations that need each right, step by step, until a condition holds."""

    def step(act: Callable[[], object], is_done: Callable[[], object]) -> None:
        if not until():
            act()
            eventually(lambda: until() or is_done(), within=40)

    def is_published() -> bool:
        return tenant.conditions().get("Ready", {}).get("reason") == "Published"

    foreign = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "foreign"}}
    step(lambda: tenant.apply_api_token(target={"name": "first"}), lambda: tenant.secret("first") and is_published())
    edited = {"stringData": {"api_token": "edited"}}
    step(lambda: tenant.patch("secret", "first", edited), lambda: tenant.secret("first")["api_token"] != "edited")  # type: ignore[index]
    step(lambda: _retarget(tenant, "second"), lambda: tenant.secret("first") is None)
    step(lambda: tenant.create(foreign), lambda: True)
    step(lambda: _retarget(tenant, "foreign"), lambda: tenant.conditions()["Ready"]["reason"] == "SecretConflict")
    step(lambda: Offer(tenant), lambda: _asked(tenant, Right("patch", "pipedriveconsents/status")))
    step(lambda: None, lambda: _asked(tenant, Right("create", "events")))
    step(lambda: None, lambda: _asked(tenant, Right("patch", "leases")))


def test_the_rights_of_the_chart_are_sufficient(tenant: Tenant, start: Callable[[Right | None], None]) -> None:
    """No request of the operator is refused."""
    start(None)

    play(tenant)

    assert [] == _refused(tenant)


def test_the_rights_below_are_all_that_the_chart_grants(manifests: list[Json]) -> None:
    """A new one must be justified here."""
    assert sorted(RIGHTS + AFTER_AN_HOUR) == sorted(granted(manifests))


@pytest.mark.parametrize("right", RIGHTS, ids=str)
def test_each_right_is_missed_when_it_is_withdrawn(
    tenant: Tenant, start: Callable[[Right | None], None], right: Right
) -> None:
    """The operator sends the request, which is refused."""
    start(right)

    play(tenant, until=lambda: bool(_refused(tenant)))

    assert {str(right)} == set(_refused(tenant))


def _retarget(tenant: Tenant, name: str) -> None:
    tenant.patch("pipedrivecredential", "acme", {"spec": {"target": {"name": name}}})


def _user(tenant: Tenant) -> str:
    return f"system:serviceaccount:{tenant.namespace}:{ACCOUNT}"


def _refused(tenant: Tenant) -> list[str]:
    return [request.kind for request in tenant.cluster.requests(_user(tenant)) if request.status == 403]


def _asked(tenant: Tenant, right: Right) -> bool:
    return any(request.kind == str(right) for request in tenant.cluster.requests(_user(tenant)))


def _settings(tenant: Tenant, folder: Path) -> Json:
    tenant.openbao.put_policy("rights", POLICY)
    token = folder / "vault-token"
    token.write_text(tenant.openbao.create_token(["rights"]))
    login = {"method": "token", "tokenFile": str(token)}
    return {
        "kubernetes": {
            "kubeconfig": str(tenant.cluster.kubeconfig_for(_user(tenant))),
            "namespaces": [tenant.namespace],
            "operatorNamespace": tenant.namespace,
        },
        "vault": {"connections": {"default": {"address": tenant.openbao.address, "auth": login, "insecure": True}}},
        "pipedrive": {
            "apiUrl": tenant.pipedrive.url,
            "oauthUrl": tenant.pipedrive.url,
            "insecure": True,
            "allowedApiDomains": [f"{tenant.pipedrive.url.rpartition(':')[0]}:*", "https://*.pipedrive.com"],
            "timeout": "5s",
            "apps": {"crm-sync": {"path": APP_PATH, "allowedNamespaces": ["*"]}},
        },
        "consent": {"enabled": True},
        "leaderElection": {"leaseDuration": "15s"},
    }
