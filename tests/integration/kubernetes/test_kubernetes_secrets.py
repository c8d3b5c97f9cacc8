"""The port of Secrets against a real API server: each operation, and the error that each refusal becomes."""

import asyncio
import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.secrets import KubernetesSecrets
from pipedrive_operator.core.publication.target import TargetSecret, digest_of
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    NamespaceBeingDeleted,
    SecretChanged,
    SecretExists,
    SecretWriteDenied,
)
from support.builders import ABSENT
from support.manifests import TOKEN, encoded, published_secret
from testbed.control_plane import ControlPlane


def change(target: TargetSecret, **data: str | None) -> dict[str, Any]:
    """Build a merge patch for the version of a Secret that was read."""
    return {"metadata": {"resourceVersion": target.resource_version}, "data": data}


async def created_until_denied(secrets: KubernetesSecrets, namespace: str) -> None:
    """Create Secrets until one is denied, because the API server notices a new quota or policy a moment later."""
    async with asyncio.timeout(20):
        for number in itertools.count():
            await secrets.create(published_secret(namespace, f"secret-{number}"))


def quoting_policy(namespace: str) -> dict[str, Any]:
    """Build a policy that denies every Secret in one namespace and quotes its token."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    quote = "'refused ' + string(object.data.access_token)"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}
    policy = {
        "matchConstraints": {"resourceRules": [rule], "namespaceSelector": selector},
        "validations": [{"expression": "false", "messageExpression": quote}],
    }
    binding = {"policyName": namespace, "validationActions": ["Deny"]}
    group = "admissionregistration.k8s.io/v1"
    kinds = {"ValidatingAdmissionPolicy": policy, "ValidatingAdmissionPolicyBinding": binding}
    items = [
        {"apiVersion": group, "kind": kind, "metadata": {"name": namespace}, "spec": spec}
        for kind, spec in kinds.items()
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


class TestSecrets:
    """The port of Secrets."""

    async def test_a_created_secret_is_read_back(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """It equals what the creation returned."""
        created = await secrets.create(published_secret(namespace))

        assert await secrets.read(created.key) == created
        assert created.data == {"access_token": digest_of(encoded(TOKEN))}

    async def test_a_missing_secret_is_none(self, secrets: KubernetesSecrets) -> None:
        """It is not an error."""
        assert await secrets.read(ABSENT) is None

    async def test_a_creation_overwrites_no_secret(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """The error differs from all others."""
        await secrets.create(published_secret(namespace))

        with pytest.raises(SecretExists):
            await secrets.create(published_secret(namespace))

    async def test_a_patch_sets_and_removes_keys(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """A null in a merge patch removes a key."""
        created = await secrets.create(published_secret(namespace))

        patched = await secrets.patch(created.key, change(created, access_token=None, api_token=encoded("x")))

        assert patched.data == {"api_token": digest_of(encoded("x"))}
        assert int(patched.resource_version) > int(created.resource_version)

    async def test_a_patch_for_an_older_version_is_refused(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """The Secret stays as it is."""
        created = await secrets.create(published_secret(namespace))
        await secrets.patch(created.key, change(created, by=encoded("somebody")))

        with pytest.raises(SecretChanged):
            await secrets.patch(created.key, change(created, by=encoded("us")))

    async def test_a_deleted_secret_counts_as_changed(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """The error is the same as for a changed Secret."""
        created = await secrets.create(published_secret(namespace))
        await secrets.delete(created)

        with pytest.raises(SecretChanged):
            await secrets.patch(created.key, change(created, by=encoded("us")))

    async def test_the_message_names_an_exhausted_quota(
        self, secrets: KubernetesSecrets, control_plane: ControlPlane, namespace: str
    ) -> None:
        """It quotes the API server."""
        control_plane.kubectl("create", "quota", "tight", "--hard=secrets=0", f"--namespace={namespace}")
        counted = json.dumps({"status": {"hard": {"secrets": "0"}, "used": {"secrets": "0"}}})
        arguments = ["quota", "tight", "--subresource=status", f"--patch={counted}"]
        control_plane.kubectl("patch", *arguments, f"--namespace={namespace}")

        with pytest.raises(SecretWriteDenied, match="exceeded quota: tight"):
            await created_until_denied(secrets, namespace)

    async def test_the_message_quotes_a_missing_permission(self, stranger: Api, namespace: str) -> None:
        """The quotation names the verb and the resource."""
        with pytest.raises(SecretWriteDenied, match='cannot create resource "secrets"'):
            await KubernetesSecrets(stranger).create(published_secret(namespace))

    async def test_a_denied_read_is_an_error(self, stranger: Api) -> None:
        """A Secret that RBAC hides may exist."""
        with pytest.raises(ApiServerUnavailable, match='cannot get resource "secrets"'):
            await KubernetesSecrets(stranger).read(ABSENT)

    async def test_an_immutable_secret_is_reported(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """The message says that the Secret is immutable."""
        created = await secrets.create(published_secret(namespace, immutable=True))

        with pytest.raises(SecretWriteDenied, match="immutable"):
            await secrets.patch(created.key, change(created, access_token=encoded("another")))

    async def test_a_policy_that_quotes_the_token_is_quoted_without_it(
        self, secrets: KubernetesSecrets, control_plane: ControlPlane, namespace: str
    ) -> None:
        """The message of the operator contains no value of the Secret."""
        control_plane.kubectl("create", "--filename=-", stdin=json.dumps(quoting_policy(namespace)))

        with pytest.raises(SecretWriteDenied, match=r"refused \(hidden\)") as denied:
            await created_until_denied(secrets, namespace)

        assert TOKEN not in str(denied.value)
        assert encoded(TOKEN) not in str(denied.value)

    @pytest.mark.parametrize(
        "broken",
        [
            {"data": {"not a key!": encoded(TOKEN)}},
            {"data": {"access_token": TOKEN}},
            {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": encoded(TOKEN)}},
            {"type": "kubernetes.io/tls", "data": {"tls.crt": encoded(TOKEN)}},
            {"stringData": {"access_token": [TOKEN]}},
        ],
    )
    async def test_invalid_data_is_reported_without_the_data(
        self, secrets: KubernetesSecrets, namespace: str, broken: dict[str, Any]
    ) -> None:
        """The API server's message is passed on without it."""
        with pytest.raises(SecretWriteDenied) as denied:
            await secrets.create(published_secret(namespace, **broken))

        assert TOKEN not in str(denied.value)
        assert encoded(TOKEN) not in str(denied.value)

    async def test_a_response_with_the_whole_secret_is_not_quoted(
        self, secrets: KubernetesSecrets, namespace: str
    ) -> None:
        """The API server responds so to a merge patch that it cannot decode."""
        created = await secrets.create(published_secret(namespace))

        with pytest.raises(SecretWriteDenied, match=r"Invalid value: \(hidden\): .*base64") as denied:
            await secrets.patch(created.key, change(created, api_token="not base64"))

        assert encoded(TOKEN) not in str(denied.value)
        assert denied.value.__suppress_context__

    async def test_a_terminating_namespace_is_reported(
        self, secrets: KubernetesSecrets, terminating_namespace: str
    ) -> None:
        """The error says that the namespace is being deleted."""
        with pytest.raises(NamespaceBeingDeleted):
            await secrets.create(published_secret(terminating_namespace))

    async def test_a_missing_namespace_counts_as_deleted(self, secrets: KubernetesSecrets) -> None:
        """The error is the same as for a namespace that is being deleted."""
        with pytest.raises(NamespaceBeingDeleted):
            await secrets.create(published_secret("never-there"))

    async def test_only_the_secret_that_was_read_is_deleted(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """A Secret that changed since stays; a deleted one is no error."""
        created = await secrets.create(published_secret(namespace))
        changed = await secrets.patch(created.key, change(created, by=encoded("somebody")))

        await secrets.delete(created)
        await secrets.delete(replace(changed, uid="another"))
        assert await secrets.read(created.key) == changed

        await secrets.delete(changed)
        await secrets.delete(changed)
        assert await secrets.read(created.key) is None

    async def test_a_denied_deletion_quotes_the_missing_permission(
        self, secrets: KubernetesSecrets, stranger: Api, namespace: str
    ) -> None:
        """The quotation names the verb and the resource."""
        created = await secrets.create(published_secret(namespace))

        with pytest.raises(SecretWriteDenied, match='cannot delete resource "secrets"'):
            await KubernetesSecrets(stranger).delete(created)
