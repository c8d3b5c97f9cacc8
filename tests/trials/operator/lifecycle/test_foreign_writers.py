"""A cluster in which others change what the operator writes: admission policies, webhooks, other controllers.

Each case comes from a public report. The operator stops writing, says what happens, and keeps refreshing.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.operated import Json
from support.tenant import Tenant, eventually
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao
from testbed.operator_process import OperatorProcess

POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [secrets]}
  failurePolicy: Fail
  reinvocationPolicy: Never
"""
OVERRIDES_LABEL = '[JSONPatch{op: "add", path: "/metadata/labels/team", value: "platform"}]'
DROPS_VALUE = '[JSONPatch{op: "remove", path: "/data/scope"}]'
WEBHOOK = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
webhooks:
- name: secrets.policy.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: 2
  clientConfig: {url: "https://127.0.0.1:1/validate"}
  rules:
  - {apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [secrets]}
"""
TEAM = {"labels": {"team": "crm"}}
POLLS = 4
"""How many polls of Vault a test waits for to see that the operator is at rest."""


@pytest.fixture
def operator(settings: Callable[[str], Json], crd: None, tmp_path: Path, namespace: str) -> Iterator[OperatorProcess]:
    """Run an operator for the namespace of the test alone, as a user of that name."""
    assert crd is None
    wanted = settings(namespace)
    wanted["kubernetes"]["namespaces"] = [namespace]
    with OperatorProcess(wanted, folder=tmp_path) as running:
        yield running


@contextmanager
def applied(cluster: ControlPlane, *manifests: Json) -> Iterator[None]:
    """Apply cluster-wide objects, and delete them at the end."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    cluster.kubectl("apply", "--filename=-", stdin=text)
    try:
        yield
    finally:
        cluster.kubectl("delete", "--filename=-", stdin=text)


def mutates(tenant: Tenant, expression: str, *, secret: str) -> list[Json]:
    """Build a policy, with its binding, that changes one Secret of a tenant at each write."""
    name = f"{tenant.namespace}-{secret}"
    policy: Json = yaml.safe_load(POLICY)
    policy["metadata"] = {"name": name}
    condition = f"object.metadata.namespace == '{tenant.namespace}' && object.metadata.name.startsWith('{secret}')"
    policy["spec"]["matchConditions"] = [{"name": "ours", "expression": condition}]
    policy["spec"]["mutations"] = [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}]
    binding = {"apiVersion": policy["apiVersion"], "kind": f"{policy['kind']}Binding", "metadata": {"name": name}}
    return [policy, binding | {"spec": {"policyName": name}}]


def wait_until_mutated(tenant: Tenant, name: str, wanted: Callable[[Json], bool]) -> None:
    """Wait until a policy is in force, which takes the API server a moment."""
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {"team": "crm"}},
        "data": {"scope": ""},
    }

    def look() -> bool:
        """Return whether the policy is in force."""
        options = ("--dry-run=server", "--output=json", "--filename=-")
        return wanted(json.loads(tenant.kubectl("create", *options, stdin=json.dumps(body))))

    eventually(look)


def writes(tenant: Tenant) -> int:
    """Count the writes and attempts to write of the operator to Secrets of its namespace."""
    requests = tenant.cluster.requests(tenant.namespace)
    return sum(request.writes and request.resource == "secrets" for request in requests)


def wait_for_polls(tenant: Tenant, openbao: OpenBao) -> None:
    """Wait until the operator has read the document a few more times."""

    def polls() -> int:
        path = f"secret/data/{tenant.path('acme')}"
        return sum(one.path == path and one.operation == "read" for one in openbao.requests())

    wanted = polls() + POLLS

    def look() -> bool:
        """Return whether Vault has been polled a few times."""
        return polls() >= wanted

    eventually(look, within=60)


def message_of(tenant: Tenant, reason: str) -> str:
    """Wait for a reason, and return the message of its condition."""
    return str(tenant.wait_for(reason, within=30)["message"])


@pytest.mark.usefixtures("operator")
def test_a_policy_that_overrides_a_label_is_reported_and_does_not_stop_a_refresh(
    tenant: Tenant, openbao: OpenBao
) -> None:
    """The message names the field, both values and the field of the spec; the operator stops writing."""
    with applied(tenant.cluster, *mutates(tenant, OVERRIDES_LABEL, secret="acme")):
        wait_until_mutated(tenant, "acme-probe", lambda body: bool(body["metadata"]["labels"]["team"] == "platform"))
        tenant.apply_oauth2(target=TEAM)
        message = message_of(tenant, "SecretWriteDenied")
        first = (tenant.secret() or {})["access_token"]
        before = writes(tenant)

        wait_for_polls(tenant, openbao)

        assert "metadata.labels.team is platform, but spec.target.labels.team asks for crm" in message
        assert writes(tenant) - before <= 6

        def look() -> bool:
            """Return whether the Secret holds a refreshed token."""
            return (tenant.secret() or {})["access_token"] != first

        eventually(look, within=90)


@pytest.mark.usefixtures("operator")
def test_a_policy_that_drops_an_empty_value_is_reported(tenant: Tenant, openbao: OpenBao) -> None:
    """The scope of a grant without scopes is such a value."""
    with applied(tenant.cluster, *mutates(tenant, DROPS_VALUE, secret="acme")):
        wait_until_mutated(tenant, "acme-probe", lambda body: "scope" not in body.get("data", {}))
        tenant.apply_oauth2()
        message = message_of(tenant, "SecretWriteDenied")
        before = writes(tenant)

        wait_for_polls(tenant, openbao)

        assert "data.scope is absent" in message
        assert writes(tenant) - before <= 6


@pytest.mark.usefixtures("operator")
def test_a_webhook_that_is_down_is_reported_with_the_api_servers_words(tenant: Tenant) -> None:
    """A new credential has a status and an Event; when the webhook is gone, the Secret is published."""
    webhook: Json = yaml.safe_load(WEBHOOK)
    webhook["metadata"] = {"name": tenant.namespace}
    names_this = {"matchLabels": {"kubernetes.io/metadata.name": tenant.namespace}}
    webhook["webhooks"][0]["namespaceSelector"] = names_this
    with applied(tenant.cluster, webhook):
        eventually(lambda: webhook_is_called(tenant))
        tenant.apply_api_token()

        message = message_of(tenant, "SecretWriteDenied")

        assert 'failed calling webhook "secrets.policy.example.com"' in message
        assert "connection refused" in message
        events: Any = json.loads(tenant.kubectl("get", "events.events.k8s.io", "--output=json"))
        assert ["SecretWriteDenied"] == [event["reason"] for event in events["items"]]

    tenant.wait_for("Published", within=60)


def webhook_is_called(tenant: Tenant) -> bool:
    """Return whether the API server calls the webhook."""
    try:
        tenant.kubectl("create", "secret", "generic", "probe", "--dry-run=server")
    except Exception as error:  # noqa: BLE001  kubectl's failure is what is waited for
        return "failed calling webhook" in str(error)
    return False


@contextmanager
def relabelling(tenant: Tenant) -> Iterator[None]:
    """Change a label of the Secret back as soon as the operator has repaired it, as another controller would."""
    client, over = tenant.cluster.client(), threading.Event()
    path = f"/api/v1/namespaces/{tenant.namespace}/secrets/acme"
    patch = json.dumps({"metadata": {"labels": {"team": "platform"}}})

    def relabel() -> None:
        while not over.wait(0.02):
            secret = client.find(path)
            if secret is not None and secret["metadata"]["labels"].get("team") == "crm":
                arguments = ("--type=merge", "--field-manager=labeller", f"--patch={patch}")
                tenant.kubectl("patch", "secret", "acme", *arguments)

    thread = threading.Thread(target=relabel)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.usefixtures("operator")
def test_a_controller_that_undoes_each_repair_is_named_and_repairs_become_rare(
    tenant: Tenant, openbao: OpenBao
) -> None:
    """Neither side can win: the message names the other one, and both stop writing."""
    tenant.apply_api_token(target=TEAM)
    tenant.wait_until_published()
    with relabelling(tenant):
        message = message_of(tenant, "SecretWriteDenied")
        before = writes(tenant)
        wait_for_polls(tenant, openbao)

        assert "labeller" in message
        assert "metadata.labels.team" in message
        assert writes(tenant) - before <= POLLS

    tenant.wait_for("Published", within=90)
