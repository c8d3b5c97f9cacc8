"""Troubles that keep the operator from writing a Secret."""

import json
import time

from support.troubles.trouble import Trouble, TroubledCredential
from testbed.kubectl import KubectlError

FOREIGN = {"password": "bm90IG91cnM="}
_POLICY_SECONDS = 15.0
_GROUP = "admissionregistration.k8s.io/v1"


def _foreign_secret(subject: TroubledCredential) -> None:
    """Create a foreign Secret of that name."""
    metadata = {"name": subject.name, "namespace": subject.namespace}
    subject.parts.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": FOREIGN})


def _exhaust_quota(subject: TroubledCredential) -> None:
    """Allow no Secrets. The test writes the quota's status itself, because its controller does not run here."""
    subject.kubectl("create", "quota", "no-secrets", "--hard=secrets=0")
    status = json.dumps({"status": {"hard": {"secrets": "0"}, "used": {"secrets": "0"}}})
    subject.kubectl("patch", "quota", "no-secrets", "--subresource=status", "--type=merge", f"--patch={status}")


def _take_rights(subject: TroubledCredential) -> None:
    """Withdraw all permissions except reading Secrets."""
    rules = json.loads(subject.kubectl("get", "role", "pipedrive-operator", "--output=json"))["rules"]
    narrowed = [
        {**rule, "verbs": ["get", "list", "watch"]} if rule["resources"] == ["secrets"] else rule for rule in rules
    ]
    subject.kubectl("patch", "role", "pipedrive-operator", "--type=merge", f"--patch={json.dumps({'rules': narrowed})}")


def _lift_quota(subject: TroubledCredential) -> None:
    subject.kubectl("delete", "quota", "no-secrets")


def _delete_secret(subject: TroubledCredential) -> None:
    subject.kubectl("delete", "secret", subject.name)


def _give_rights(subject: TroubledCredential) -> None:
    """Grant the permissions of the operator's own namespace."""
    home = ["--namespace", subject.parts.home]
    role = subject.parts.cluster.kubectl("get", "role", "pipedrive-operator", "--output=json", *home)
    rules = json.loads(role)["rules"]
    subject.kubectl("patch", "role", "pipedrive-operator", "--type=merge", f"--patch={json.dumps({'rules': rules})}")


def _forbid(subject: TroubledCredential) -> None:
    """Let a policy refuse the Secret and quote its token."""
    name = f"{subject.namespace}-{subject.name}"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}]
    validation = {
        "expression": f"object.metadata.name != '{subject.name}'",
        "messageExpression": "'ask the platform team, who saw ' + string(object.data['api_token'])",
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": subject.namespace}}
    spec = {"matchConstraints": {"resourceRules": rules}, "validations": [validation]}
    binding = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": selector},
    }
    for kind, body in (("ValidatingAdmissionPolicy", spec), ("ValidatingAdmissionPolicyBinding", binding)):
        subject.parts.apply({"apiVersion": _GROUP, "kind": kind, "metadata": {"name": name}, "spec": body})


def _forbid_and_change_target(subject: TroubledCredential) -> None:
    """Change the target's labels once the policy is in force, which takes a moment."""
    _forbid(subject)
    deadline = time.monotonic() + _POLICY_SECONDS
    while _may_be_written(subject) and time.monotonic() < deadline:
        time.sleep(0.2)
    subject.change(target={"labels": {"round": "second"}})


def _may_be_written(subject: TroubledCredential) -> bool:
    try:
        subject.kubectl("label", "secret", subject.name, "round=tried", "--overwrite", "--dry-run=server")
    except KubectlError:
        return False
    return True


def _permit(subject: TroubledCredential) -> None:
    name = f"{subject.namespace}-{subject.name}"
    kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings"
    subject.parts.cluster.kubectl("delete", kinds, name)


def _freeze(subject: TroubledCredential) -> None:
    """Make the Secret immutable, and then ask for another key in it."""
    subject.kubectl("patch", "secret", subject.name, "--type=merge", '--patch={"immutable": true}')
    subject.change(target={"data": {"api_token": "$(api_token)", "copy": "$(api_token)"}})


TROUBLES = (
    Trouble(
        name="taken",
        reason="SecretConflict",
        says=("Secret taken already exists, does not belong to this credential", "spec.target.name", "adopt=taken"),
        starts_ready=False,
        cause=_foreign_secret,
        fix=lambda subject: subject.change(target={"name": "another-name"}),
        stalled=True,
    ),
    Trouble(
        name="quota",
        reason="SecretWriteDenied",
        says=("denied the write of the Secret", "exceeded quota: no-secrets"),
        namespace_suffix="-quota",
        starts_ready=False,
        cause=_exhaust_quota,
        fix=_lift_quota,
        stalled=True,
    ),
    Trouble(
        name="rights-missing",
        reason="SecretWriteDenied",
        says=("denied the write of the Secret", 'cannot create resource "secrets"', "{subject.namespace}"),
        namespace_suffix="-rbac",
        starts_ready=False,
        cause=_take_rights,
        fix=_give_rights,
        stalled=True,
    ),
    Trouble(
        name="forbidden",
        reason="SecretWriteDenied",
        says=("denied the write of the Secret", "ask the platform team, who saw (hidden)"),
        spec={"target": {"labels": {"round": "first"}}},
        cause=_forbid_and_change_target,
        fix=_permit,
        stalled=True,
        stays_ready=False,
    ),
    Trouble(
        name="immutable",
        reason="SecretWriteDenied",
        says=("denied the write of the Secret", "field is immutable"),
        cause=_freeze,
        fix=_delete_secret,
        stalled=True,
        stays_ready=False,
    ),
)
"""The message quotes who forbids it."""
