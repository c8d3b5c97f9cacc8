"""Others that change the Secret on a real API server: a mutating admission policy, and a controller."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.tenant import Tenant, eventually

pytestmark = pytest.mark.usefixtures("operator")

GROUP = "admissionregistration.k8s.io/v1"
KINDS = ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings")


@contextmanager
def mutating(tenant: Tenant, expression: str) -> Iterator[None]:
    """Let a policy change each Secret of the tenant, and wait until it is in force; remove it at the end."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}
    spec: dict[str, Any] = {
        "matchConstraints": {
            "resourceRules": [rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": tenant.namespace}},
        },
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
    }
    name = tenant.namespace
    policy = {"apiVersion": GROUP, "kind": "MutatingAdmissionPolicy", "metadata": {"name": name}, "spec": spec}
    binding = {"apiVersion": GROUP, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name}}
    for body in (policy, binding | {"spec": {"policyName": name}}):
        tenant.create(body)

    def is_in_force() -> bool:
        """Return whether the policy is in force."""
        probe = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "probe", "labels": {"team": "crm"}}}
        options = ("--dry-run=server", "--output=json", "--filename=-")
        shown = json.loads(tenant.kubectl("create", *options, stdin=json.dumps(probe)))
        return bool(shown["metadata"]["labels"]["team"] == "platform")

    try:
        eventually(is_in_force)
        yield
    finally:
        tenant.cluster.kubectl("delete", ",".join(KINDS), name)


def test_a_policy_that_overrides_a_label_is_reported_and_blocks_no_refresh(tenant: Tenant) -> None:
    """The new credential has a status, few writes are made, and a requested refresh is carried out."""
    override = '[JSONPatch{op: "add", path: "/metadata/labels/team", value: "platform"}]'
    with mutating(tenant, override):
        tenant.apply_oauth2(target={"labels": {"team": "crm"}})

        message = tenant.wait_for("SecretWriteDenied")["message"]

        assert (
            "an admission policy or webhook of the cluster changes it: metadata.labels.team is platform, "
            "but spec.target.labels.team asks for crm" in message
        )
        first = tenant.secret()
        assert first is not None
        tenant.annotate("pipedrivecredential", "acme", request="refresh", requested_at="now")
        eventually(lambda: (tenant.secret() or {})["access_token"] != first["access_token"])
        assert "False" == tenant.conditions()["Ready"]["status"]

    tenant.annotate("pipedrivecredential", "acme", requested_at="later")
    tenant.wait_until_published()


def test_a_controller_that_changes_a_label_back_is_reported(tenant: Tenant) -> None:
    """The two do not write as fast as they can."""
    tenant.apply_api_token(target={"labels": {"team": "crm"}})
    tenant.wait_until_published()
    ended, changes = threading.Event(), list[str]()

    def fight() -> None:
        while not ended.wait(0.02):
            secret = tenant.get("secret", "acme")
            if secret is not None and secret["metadata"]["labels"].get("team") == "crm":
                tenant.kubectl("label", "secret", "acme", "team=platform", "--overwrite", "--field-manager=labeller")
                changes.append("team")

    fighter = threading.Thread(target=fight)
    fighter.start()
    try:
        message = tenant.wait_for("SecretWriteDenied")["message"]
        ended.wait(8)
    finally:
        ended.set()
        fighter.join()

    assert "metadata.labels.team is platform, but spec.target.labels.team asks for crm (set by labeller)" in message
    assert 3 <= len(changes) <= 12
