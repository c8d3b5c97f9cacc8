"""`suspend` and `resume`: set and remove `spec.suspend`."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Final

from kubectl_pipedrive.command_line import Arguments, Command, Invocation
from kubectl_pipedrive.credential import Credential, map_at
from kubectl_pipedrive.kubectl import CREDENTIALS
from kubectl_pipedrive.moments import ahead
from kubectl_pipedrive.selection import ALL, ALL_NAMESPACES, CHOICE, SELECTOR, find_chosen, nothing_found

_GITOPS: Final[Mapping[str, str]] = {
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "argocd.argoproj.io/instance": "Argo CD",
    "argocd.argoproj.io/tracking-id": "Argo CD",
}
"""The label or annotation that a GitOps tool sets on what it manages."""


def _switch(invocation: Invocation, arguments: Arguments, *, suspend: bool) -> int:
    found = find_chosen(invocation, arguments)
    if not found:
        invocation.terminal.error(nothing_found(invocation, arguments))
    word = "suspended" if suspend else "resumed"
    # null removes the field, so that the resource is again as it was applied
    patch = json.dumps({"spec": {"suspend": True if suspend else None}})
    for one in found:
        if one.is_suspended is suspend:
            invocation.terminal.line(f"{one}: {'already suspended' if suspend else 'not suspended'}")
            continue
        kubectl = invocation.kubectl.within(one.namespace)
        kubectl.run("patch", CREDENTIALS, one.name, "--type=merge", f"--patch={patch}")
        invocation.terminal.line(f"{one}: {word}{_consequence(one, invocation) if suspend else ''}")
        if (tool := _gitops_tool(one)) is not None:
            invocation.terminal.error(
                f"{one} is managed by {tool}, which may undo this: change spec.suspend in Git, too"
            )
    return 0


def _consequence(credential: Credential, invocation: Invocation) -> str:
    """Return until when workloads can go on with the present token."""
    if credential.expires_at is None:
        return f"; Secret {credential.secret_name} stays as it is"
    expiry = ahead(credential.expires_at, invocation.clock.now())
    return f"; Secret {credential.secret_name} stays as it is, and its access token expires {expiry}"


def _gitops_tool(credential: Credential) -> str | None:
    metadata = map_at(credential.body, "metadata")
    marks = {**map_at(metadata, "labels"), **map_at(metadata, "annotations")}
    return next((tool for mark, tool in _GITOPS.items() if mark in marks), None)


_PERMISSION: Final = "It needs the permission to change credentials, which the role `edit` has."
_SUSPEND: Final = Command(
    words=("suspend",),
    arguments="[NAME...]",
    summary="Pause the operator's work on credentials; their Secrets stay as they are.",
    description=(
        "The operator then calls neither Vault nor Pipedrive for them, and leaves their Secrets unchanged. A published "
        "OAuth2 access token expires after an hour at most, so workloads lose access unless you run `kubectl pipedrive "
        "resume` in time.\n\n"
        f"It sets spec.suspend to true. {CHOICE} {_PERMISSION}"
    ),
    examples=(
        ("One credential", "kubectl pipedrive suspend acme -n crm"),
        ("Every credential of a namespace, for example while Vault is moved", "kubectl pipedrive suspend --all -n crm"),
    ),
    options=(ALL, ALL_NAMESPACES, SELECTOR),
    run=partial(_switch, suspend=True),
)
_RESUME: Final = Command(
    words=("resume",),
    arguments="[NAME...]",
    summary="Let the operator work on suspended credentials again.",
    description=(
        "It removes spec.suspend, and the operator works on the credentials again within seconds.\n\n"
        f"{CHOICE} {_PERMISSION}"
    ),
    examples=(
        (
            "One credential, and follow what happens",
            "kubectl pipedrive resume acme && kubectl pipedrive status acme -w",
        ),
        ("Every suspended credential of a namespace", "kubectl pipedrive resume --all -n crm"),
    ),
    options=(ALL, ALL_NAMESPACES, SELECTOR),
    run=partial(_switch, suspend=False),
)
COMMANDS: Final = (_SUSPEND, _RESUME)
