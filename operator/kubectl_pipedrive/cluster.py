"""What a person can find out about the operator from outside: the API that it serves, its Deployment and its leader."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kubectl_pipedrive.consent import Consent
from kubectl_pipedrive.credential import Credential, Json, map_at, text_at, time_at
from kubectl_pipedrive.errors import KubectlFailed
from kubectl_pipedrive.kubectl import CONSENTS, Kubectl
from kubectl_pipedrive.moments import ago
from pipedrive_operator.core.resource.names import CONSENT_PLURAL, GROUP, PLURAL, VERSION

_LABEL: Final = "app.kubernetes.io/name"
_FRONT: Final = "pipedrive-operator-consent"
_SELECTOR: Final = f"{_LABEL} in (pipedrive-operator, {_FRONT})"
_DEFAULT_LEASE: Final = timedelta(seconds=60)
"""A leader that has not renewed its Lease for this long counts as gone, whatever the settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One result: good, bad, or (None) not known."""

    ok: bool | None
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Permission:
    """What someone needs for a command."""

    verb: str
    group: str
    resource: str
    purpose: str


PERMISSIONS: Final = (
    Permission("list", GROUP, PLURAL, "see credentials"),
    Permission("patch", GROUP, PLURAL, "refresh, suspend and resume them"),
    Permission("create", GROUP, CONSENT_PLURAL, "connect accounts"),
    Permission("list", "", "pods", "see which pods use a Secret"),
    Permission("list", "", "events", "see Events"),
    Permission("get", "", "secrets", "see the keys of a Secret"),
)


def served_api(kubectl: Kubectl) -> Finding:
    """Return whether the API server serves the resources, which every user may ask. Consents are optional."""
    try:
        # a kuberc file can set an output, which kubectl does not accept together with --raw
        found = json.loads(kubectl.run("get", f"--raw=/apis/{GROUP}/{VERSION}", "--output="))
    except KubectlFailed as failure:
        if failure.is_not_found:
            return Finding(
                ok=False, subject="CRD", text=f"{PLURAL}.{GROUP}/{VERSION} is not installed; the README says how"
            )
        raise
    names = {text_at(one, "name") for one in found["resources"]}
    is_complete = {PLURAL, f"{PLURAL}/status"} <= names
    if not is_complete:
        text = f"{PLURAL}.{GROUP}/{VERSION} is served without a status: upgrade the CRD"
    elif CONSENT_PLURAL not in names:
        text = f"{PLURAL}.{GROUP}/{VERSION} is served; {CONSENT_PLURAL} is not, so `connect` cannot be used"
    else:
        text = f"{PLURAL} and {CONSENT_PLURAL} of {GROUP}/{VERSION} are served"
    return Finding(ok=is_complete, subject="CRD", text=text)


def permissions(kubectl: Kubectl, namespace: str) -> list[Finding]:
    """Return what the user may do in a namespace, from one review."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    # without --validate=false, kubectl reads all CRDs first, which few users may
    found = kubectl.get("create", "--filename=-", "--validate=false", stdin=json.dumps(review))
    rules = map_at(found, "status").get("resourceRules") or ()
    is_incomplete = map_at(found, "status").get("incomplete") is True
    can = [one.purpose for one in PERMISSIONS if allows(rules, one)]
    cannot = [one.purpose for one in PERMISSIONS if not allows(rules, one)]
    findings = [Finding(ok=True, subject="Permissions", text=f"in namespace {namespace} you can: {'; '.join(can)}")]
    if not can:
        findings = [Finding(ok=False, subject="Permissions", text=f"you have none in namespace {namespace}")]
    elif cannot:
        verb = "perhaps cannot" if is_incomplete else "cannot"
        findings.append(Finding(ok=None, subject="Permissions", text=f"you {verb}: {'; '.join(cannot)}"))
    return findings


def operator(kubectl: Kubectl, now: datetime) -> list[Finding]:
    """Return how the operator and its consent front run, as far as the user may see Deployments and the Lease."""
    try:
        found = kubectl.items("deployments.apps", "--all-namespaces", f"--selector={_SELECTOR}")
    except KubectlFailed as failure:
        if failure.is_forbidden:
            text = "your permissions do not include listing its Deployment in all namespaces"
            return [Finding(ok=None, subject="Operator", text=text)]
        raise
    if not found:
        return [
            Finding(
                ok=None,
                subject="Operator",
                text=f"no Deployment has the label {_LABEL}=pipedrive-operator; it may run outside this cluster",
            )
        ]
    return [finding for one in found for finding in _deployment(kubectl, one, now)]


def _deployment(kubectl: Kubectl, body: Json, now: datetime) -> list[Finding]:
    name, namespace = text_at(body, "metadata", "name"), text_at(body, "metadata", "namespace")
    labels = map_at(body, "metadata", "labels")
    version = text_at(labels, "app.kubernetes.io/version")
    ready, wanted = map_at(body, "status").get("readyReplicas", 0), map_at(body, "spec").get("replicas", 1)
    is_front = text_at(labels, _LABEL) == _FRONT
    text = f"{namespace}/{name}, version {version or 'unknown'}: {ready} of {wanted} replicas are ready"
    finding = Finding(ok=ready > 0, subject="Consent front" if is_front else "Operator", text=text)
    leader = None if is_front else _leader(kubectl.within(namespace), name, now)
    return [finding] if leader is None else [finding, leader]


def _leader(kubectl: Kubectl, name: str, now: datetime) -> Finding | None:
    """Return who leads; None without a Lease, which a single replica does not need."""
    try:
        lease = kubectl.get("get", "leases.coordination.k8s.io", name)
    except KubectlFailed as failure:
        if failure.is_forbidden:
            return Finding(ok=None, subject="Leader", text="your permissions do not include reading its Lease")
        if failure.is_not_found:
            return None
        raise
    holder, renewed_at = text_at(lease, "spec", "holderIdentity"), time_at(lease, "spec", "renewTime")
    is_alive = bool(holder) and renewed_at is not None and now - renewed_at < _DEFAULT_LEASE
    return Finding(ok=is_alive, subject="Leader", text=f"{holder or 'none'}, renewed {ago(renewed_at, now)}")


def newest_consent(kubectl: Kubectl, credential: Credential) -> list[Finding]:
    """Return what became of the newest link for a credential, and where its redirect arrives; nothing without one."""
    try:
        bodies = kubectl.within(credential.namespace).items(CONSENTS)
    except KubectlFailed:  # an older CRD, or no permission: a link is no part of a working credential
        return []
    found = [Consent(body) for body in bodies if text_at(body, "spec", "credential") == credential.name]
    if not found:
        return []
    newest = max(found, key=lambda one: text_at(one.body, "metadata", "creationTimestamp"))
    redirect = f"; the redirect of {newest.app} arrives at {newest.redirect_uri}" if newest.redirect_uri else ""
    text = f"{text_at(newest.body, 'metadata', 'name')}: {newest.reason or 'not prepared yet'}{redirect}"
    return [Finding(ok=True if newest.is_connected else None, subject="Link", text=text)]


def allows(rules: Sequence[Json], wanted: Permission) -> bool:
    """Return whether the rules of a review allow something on every object."""
    return any(
        _has(rule, "verbs", wanted.verb)
        and _has(rule, "apiGroups", wanted.group)
        and _has(rule, "resources", wanted.resource)
        and not rule.get("resourceNames")
        for rule in rules
    )


def _has(rule: Json, part: str, name: str) -> bool:
    return bool({name, "*"} & set(rule.get(part) or ()))
