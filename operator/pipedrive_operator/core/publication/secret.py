"""The Secret that a credential should have, how the one in the cluster differs, and the patch that repairs it. Pure."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from pipedrive_operator.core.grant.token import Accepted
from pipedrive_operator.core.publication import template
from pipedrive_operator.core.publication.fields import fields_of, values_of
from pipedrive_operator.core.publication.target import TargetSecret, bounded, data_digest, digest_of
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.names import (
    ANNOTATION_DIGEST,
    ANNOTATION_MANAGED,
    ANNOTATION_REVISION,
    GROUP,
    KIND,
    LABEL_CREDENTIAL,
    VERSION,
    Key,
)
from pipedrive_operator.core.resource.spec import DeletionPolicy, Target
from pipedrive_operator.core.values.text import is_dns_label, shorten

_LONGEST_QUOTE: Final = 80
"""How many characters of a label or annotation a message quotes."""
LARGEST_DATA: Final = 1024 * 1024
"""In bytes: how much data the API server accepts in a Secret (MaxSecretSize in k8s.io/api/core/v1)."""
_DIGITS: Final = 24
"""How many hexadecimal digits of each digest go into a revision."""


@dataclass(frozen=True, kw_only=True)
class DesiredSecret:
    """Our part of the Secret: our keys, labels, annotations and owner. What others keep in it is not mentioned."""

    key: Key
    type: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner: Mapping[str, Any] | None
    """The owner reference to carry, or None if the Secret must outlive its credential."""
    owner_uid: str
    data: Mapping[str, str] = field(repr=False)
    """Base64, as the API server takes it."""
    revision: str | None = None
    """Names what is published, for the workloads that are restarted when it changes; None without spec.rollout."""

    @cached_property
    def digest(self) -> str:
        """A digest of all of it, which identifies one desired Secret among others."""
        wanted = [self.key.name, self.type, self.labels, self.annotations, self.owner, self.data]
        return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()


def rendering_problem(credential: Credential, accepted: Accepted) -> str | None:
    """Return why the Secret must not be rendered, decided without rendering it; None if it may be."""
    values, target = values_of(accepted), credential.spec.target or Target()
    if not is_dns_label(accepted.account.company_domain):
        return (
            "Pipedrive names a company domain that is not a DNS label, so that the company has no API address: correct "
            "the domain in Pipedrive's company settings, or use a token of another company"
        )
    templates = target.data or {}
    size = template.rendered_size(templates.values() if templates else values.values(), values if templates else {})
    if size > LARGEST_DATA:
        return (
            f"The Secret would have {size:,} bytes of data, and Kubernetes stores {LARGEST_DATA:,} at most: shorten "
            "spec.target.data, or refer to long fields less often"
        )
    for key, text in templates.items():
        if (field := template.breaks_quotes(text, values)) is not None:
            return (
                f"spec.target.data[{key}]: the value of {field} contains a character that would end the quotes around "
                f"$({field}): replace the quotes and the reference by $({field}|sh) or $({field}|json)"
            )
    return None


def desired_secret(credential: Credential, accepted: Accepted) -> DesiredSecret:
    """Render the Secret for a credential whose templates were checked, and without a `rendering_problem`."""
    target = credential.spec.target or Target()
    data = {key: _encode(value) for key, value in _plain_data(target, values_of(accepted)).items()}
    revised = revision(credential, accepted) if credential.spec.rollout is not None else None
    managed = {"data": sorted(data), "labels": sorted(target.labels), "annotations": sorted(target.annotations)}
    return DesiredSecret(
        key=Key(namespace=credential.key.namespace, name=credential.target_name),
        type=target.type or "Opaque",
        labels={**target.labels, LABEL_CREDENTIAL: credential.key.name},
        annotations={
            **target.annotations,
            ANNOTATION_MANAGED: json.dumps(managed, separators=(",", ":")),
            ANNOTATION_DIGEST: data_digest(data),
            **({ANNOTATION_REVISION: revised} if revised is not None else {}),
        },
        owner=None if target.deletion_policy is DeletionPolicy.RETAIN else _owner_reference(credential),
        owner_uid=credential.uid,
        data=data,
        revision=revised,
    )


def revision(credential: Credential, accepted: Accepted) -> str:
    """Return a name for what is published: a digest of what a refresh leaves unchanged, and a digest of everything.

    Both are bound to the credential's name; the first also covers the account, the scopes and the templates. A digest
    reveals nothing of a token, and equal values have equal revisions at any time.
    """
    target, account = credential.spec.target or Target(), accepted.account
    values, fields = values_of(accepted), fields_of(accepted)
    lasting = {name: "" if fields[name].changes_with_refresh else value for name, value in values.items()}
    owner = [account.company_id, account.user_id]
    parts = ([_plain_data(target, lasting), owner], [_plain_data(target, values), owner])
    digests = (hashlib.sha256(json.dumps([str(credential.key), *part], sort_keys=True).encode()) for part in parts)
    return "-".join(digest.hexdigest()[:_DIGITS] for digest in digests)


def differs(target: TargetSecret | None, desired: DesiredSecret) -> bool:
    """Return whether the Secret is missing or differs from the desired one."""
    return target is None or bool(_changes(target, desired))


def differences(written: TargetSecret, desired: DesiredSecret) -> list[str]:
    """Return a phrase for each of our fields that is not as it was just written, and the other program that set it.

    A phrase contains no value of the data.
    """
    return _phrases(written, desired, written.managers.get)


def undone(target: TargetSecret | None, desired: DesiredSecret) -> str:
    """Return what has become of the desired Secret since it was written, and who did that, but no value of the data."""
    return "it was deleted" if target is None else "; ".join(_phrases(target, desired, target.setter))


def _phrases(target: TargetSecret, desired: DesiredSecret, setter: Callable[[str], str | None]) -> list[str]:
    found = {
        f"metadata.{part}.{key}": f"is {_quoted(actual.get(key))}, but {_who_asks(part, key)} {_quoted(value)}"
        for part, actual, wanted in (
            ("labels", target.labels, desired.labels),
            ("annotations", target.annotations, desired.annotations),
        )
        for key, value in wanted.items()
        if actual.get(key) != bounded(value)
    }
    if _owners(target, desired) != list(target.owner_references):
        found["metadata.ownerReferences"] = "is not as the credential asks"
    found |= {
        f"data.{key}": f"is {'another value' if key in target.data else 'absent'}"
        for key, value in desired.data.items()
        if target.data.get(key) != digest_of(value)
    }
    setters = {path: f" (set by {name})" for path in found if (name := setter(path)) is not None}
    return [f"{path} {phrase}{setters.get(path, '')}" for path, phrase in found.items()]


def foreign_keys(target: TargetSecret, desired: DesiredSecret) -> list[str]:
    """Return the data keys that others wrote; nothing if the Secret has too many keys for all to be kept."""
    return sorted(set(target.data) - set(desired.data))


def manifest(desired: DesiredSecret) -> dict[str, Any]:
    """Build the Secret to create."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "namespace": desired.key.namespace,
            "name": desired.key.name,
            "labels": dict(desired.labels),
            "annotations": dict(desired.annotations),
            **({"ownerReferences": [dict(desired.owner)]} if desired.owner else {}),
        },
        "type": desired.type,
        "data": dict(desired.data),
    }


def patch(target: TargetSecret, desired: DesiredSecret) -> dict[str, Any]:
    """Build the merge patch (RFC 7386) that repairs our part of the Secret as it was observed."""
    changes = _changes(target, desired)
    metadata = {"resourceVersion": target.resource_version, **changes.pop("metadata", {})}
    return {"metadata": metadata, **changes}


def release(target: TargetSecret, credential: Credential) -> dict[str, Any]:
    """Build the patch that removes our owner reference, so that the Secret outlives its credential."""
    others = [owner for owner in target.owner_references if owner.get("uid") != credential.uid]
    return {"metadata": {"resourceVersion": target.resource_version, "ownerReferences": others}}


def _changes(target: TargetSecret, desired: DesiredSecret) -> dict[str, Any]:
    managed = target.managed
    metadata: dict[str, Any] = {
        "labels": _map_changes(target.labels, desired.labels, managed.labels),
        "annotations": _map_changes(
            target.annotations, desired.annotations, [*managed.annotations, ANNOTATION_REVISION], bounded
        ),
    }
    owners = _owners(target, desired)
    if owners != list(target.owner_references):
        metadata["ownerReferences"] = owners
    changes: dict[str, Any] = {"data": _map_changes(target.data, desired.data, managed.data, digest_of)}
    changes["metadata"] = {key: value for key, value in metadata.items() if value or key == "ownerReferences"}
    return {key: value for key, value in changes.items() if value}


def _map_changes(
    actual: Mapping[str, str],
    wanted: Mapping[str, str],
    formerly_ours: Collection[str],
    kept: Callable[[str], str] = str,
) -> dict[str, str | None]:
    """Return what to write and, with None, what to remove; `kept` is the form in which `actual` holds a value."""
    dropped: dict[str, str | None] = {key: None for key in formerly_ours if key in actual and key not in wanted}
    return dropped | {key: value for key, value in wanted.items() if actual.get(key) != kept(value)}


def _quoted(value: str | None) -> str:
    return "absent" if value is None else shorten(value, _LONGEST_QUOTE) or "empty"


def _who_asks(part: str, key: str) -> str:
    """Return who asks for a label or annotation: the operator for those under its group."""
    return "the operator needs" if key.startswith(f"{GROUP}/") else f"spec.target.{part}.{key} asks for"


def _owners(target: TargetSecret, desired: DesiredSecret) -> list[Mapping[str, Any]]:
    others = [owner for owner in target.owner_references if owner.get("uid") != desired.owner_uid]
    if desired.owner is None:
        return others
    present = next((owner for owner in target.owner_references if owner.get("uid") == desired.owner_uid), None)
    if present == desired.owner:
        return list(target.owner_references)
    return [*others, desired.owner]


def _owner_reference(credential: Credential) -> dict[str, Any]:
    """Build a controller reference, without `blockOwnerDeletion`: that needs the permission to update finalizers."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": credential.key.name,
        "uid": credential.uid,
        "controller": True,
    }


def _plain_data(target: Target, values: Mapping[str, str]) -> dict[str, str]:
    if target.data is None:
        return dict(values)
    return {key: template.render(text, values) for key, text in target.data.items()}


def _encode(value: str) -> str:
    return b64encode(value.encode()).decode()
