"""Troubles that keep the operator from writing a Secret."""

import json
import time

from support.troubles.trouble import Actor, Trouble
from testbed.kubectl import KubectlError

FOREIGN = {"password": "bm90IG91cnM="}
_POLICY_SECONDS = 15.0
_GROUP = "admissionregistration.k8s.io/v1"


def _foreign_secret(actor: Actor) -> None:
    """Create a foreign Secret of that name."""
    metadata = {"name": actor.name, "namespace": actor.namespace}
    actor.stage.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": FOREIGN})


def _exhaust_quota(actor: Actor) -> None:
    """Allow no Secrets. The test writes the quota's status itself, because its controller does not run here."""
    actor.kubectl("create", "quota", "no-secrets", "--hard=secrets=0")
    status = json.dumps({"status": {"hard": {"secrets": "0"}, "used": {"secrets": "0"}}})
    actor.kubectl("patch", "quota", "no-secrets", "--subresource=status", "--type=merge", f"--patch={status}")


def _take_rights(actor: Actor) -> None:
    """Withdraw all permissions except reading Secrets."""
    rules = json.loads(actor.kubectl("get", "role", "pipedrive-operator", "--output=json"))["rules"]
    narrowed = [
        {**rule, "verbs": ["get", "list", "watch"]} if rule["resources"] == ["secrets"] else rule for rule in rules
    ]
    actor.kubectl("patch", "role", "pipedrive-operator", "--type=merge", f"--patch={json.dumps({'rules': narrowed})}")


def _lift_quota(actor: Actor) -> None:
    actor.kubectl("delete", "quota", "no-secrets")


def _delete_secret(actor: Actor) -> None:
    actor.kubectl("delete", "secret", actor.name)


def _give_rights(actor: Actor) -> None:
    """Grant the permissions of the operator's own namespace."""
    home = ["--namespace", actor.stage.home]
    role = actor.stage.cluster.kubectl("get", "role", "pipedrive-operator", "--output=json", *home)
    rules = json.loads(role)["rules"]
    actor.kubectl("patch", "role", "pipedrive-operator", "--type=merge", f"--patch={json.dumps({'rules': rules})}")


def _forbid(actor: Actor) -> None:
    """Let a policy refuse the Secret and quote its token."""
    name = f"{actor.namespace}-{actor.name}"
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}]
    validation = {
        "expression": f"object.metadata.name != '{actor.name}'",
        "messageExpression": "'ask the platform team, who saw ' + string(object.data['api_token'])",
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": actor.namespace}}
    spec = {"matchConstraints": {"resourceRules": rules}, "validations": [validation]}
    binding = {
        "policyName": name,
        "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": selector},
    }
    for kind, body in (("ValidatingAdmissionPolicy", spec), ("ValidatingAdmissionPolicyBinding", binding)):
        actor.stage.apply({"apiVersion": _GROUP, "kind": kind, "metadata": {"name": name}, "spec": body})


def _forbid_and_need_it(actor: Actor) -> None:
    """Change the target's labels once the policy is in force, which takes a moment."""
    _forbid(actor)
    deadline = time.monotonic() + _POLICY_SECONDS
    while _may_be_written(actor) and time.monotonic() < deadline:
        time.sleep(0.2)
    actor.change(target={"labels": {"round": "second"}})


def _may_be_written(actor: Actor) -> bool:
    try:
        actor.kubectl("label", "secret", actor.name, "round=tried", "--overwrite", "--dry-run=server")
    except KubectlError:
        return False
    return True


def _permit(actor: Actor) -> None:
    name = f"{actor.namespace}-{actor.name}"
    kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings"
    actor.stage.cluster.kubectl("delete", kinds, name)


def _freeze(actor: Actor) -> None:
    """Make the Secret immutable, and then ask for another key in it."""
    actor.kubectl("patch", "secret", actor.name, "--type=merge", '--patch={"immutable": true}')
    actor.change(target={"data": {"api_token": "$(api_token)", "copy": "$(api_token)"}})


TROUBLES = (
    Trouble(
        name="taken",
        reason="SecretConflict",
        says=("Secret taken already exists, does not belong to this credential", "spec.target.name", "adopt=taken"),
        was_fine=False,
        strike=_foreign_secret,
        mend=lambda actor: actor.change(target={"name": "another-name"}),
        stalled=True,
    ),
    Trouble(
        name="quota",
        reason="SecretWriteDenied",
        says=("denied the write of the Secret", "exceeded quota: no-secrets"),
        room="-quota",
        was_fine=False,
        strike=_exhaust_quota,
        mend=_lift_quota,
        stalled=True,
    ),
    Trouble(
        name="rights-missing",
        reason="SecretWriteDenied",
        says=("denied the write of the Secret", 'cannot create resource "secrets"', "{actor.namespace}"),
        room="-rbac",
        was_fine=False,
        strike=_take_rights,
        mend=_give_rights,
        stalled=True,
    ),
    Trouble(
        name="forbidden",
        reason="SecretWriteDenied",
        says=("denied the write of the Secret", "ask the platform team, who saw (hidden)"),
        spec={"target": {"labels": {"round": "first"}}},
        strike=_forbid_and_need_it,
        mend=_permit,
        stalled=True,
        stays_ready=False,
    ),
    Trouble(
        name="immutable",
        reason="SecretWriteDenied",
        says=("denied the write of the Secret", "field is immutable"),
        strike=_freeze,
        mend=_delete_secret,
        stalled=True,
        stays_ready=False,
    ),
)
"""The message quotes who forbids it."""
