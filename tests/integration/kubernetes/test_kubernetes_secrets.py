"""The port of Secrets against a real API server: what it does, and what each refusal becomes."""

import asyncio
import itertools
import json
from dataclasses import replace
from typing import Any

import pytest

from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.secrets import KubernetesSecrets
from pipedrive_operator.core.publication.target import TargetSecret
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
    """Build a merge patch made for a Secret as it was read."""
    return {"metadata": {"resourceVersion": target.resource_version}, "data": data}


async def created_until_denied(secrets: KubernetesSecrets, namespace: str) -> None:
    """Create Secrets until one is refused: a new quota or policy takes the API server a moment to notice."""
    async with asyncio.timeout(20):
        for number in itertools.count():
            await secrets.create(published_secret(namespace, f"secret-{number}"))


def quoting_policy(namespace: str) -> dict[str, Any]:
    """Build a policy, for one namespace, that refuses every Secret and quotes its token."""
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

    async def test_reads_what_it_created(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """A created Secret is read back as the creation returned it."""
        created = await secrets.create(published_secret(namespace))

        assert await secrets.read(created.key) == created
        assert created.data == {"access_token": encoded(TOKEN)}

    async def test_reads_none_where_there_is_no_secret(self, secrets: KubernetesSecrets) -> None:
        """An absent Secret is no error."""
        assert await secrets.read(ABSENT) is None

    async def test_does_not_create_over_another(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """A name that is taken has an error of its own."""
        await secrets.create(published_secret(namespace))

        with pytest.raises(SecretExists):
            await secrets.create(published_secret(namespace))

    async def test_patches_and_drops_keys(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """A merge patch sets keys and removes those that are null."""
        created = await secrets.create(published_secret(namespace))

        patched = await secrets.patch(created.key, change(created, access_token=None, api_token=encoded("x")))

        assert patched.data == {"api_token": encoded("x")}
        assert int(patched.resource_version) > int(created.resource_version)

    async def test_does_not_patch_a_changed_secret(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """A patch made for an older resourceVersion is refused."""
        created = await secrets.create(published_secret(namespace))
        await secrets.patch(created.key, change(created, by=encoded("somebody")))

        with pytest.raises(SecretChanged):
            await secrets.patch(created.key, change(created, by=encoded("us")))

    async def test_tells_a_patched_secret_that_is_gone(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """A patch of a Secret that was deleted is like that of a changed one."""
        created = await secrets.create(published_secret(namespace))
        await secrets.delete(created)

        with pytest.raises(SecretChanged):
            await secrets.patch(created.key, change(created, by=encoded("us")))

    async def test_quotes_the_quota(
        self, secrets: KubernetesSecrets, control_plane: ControlPlane, namespace: str
    ) -> None:
        """A full quota is quoted by its name."""
        control_plane.kubectl("create", "quota", "tight", "--hard=secrets=0", f"--namespace={namespace}")
        counted = json.dumps({"status": {"hard": {"secrets": "0"}, "used": {"secrets": "0"}}})
        arguments = ["quota", "tight", "--subresource=status", f"--patch={counted}"]
        control_plane.kubectl("patch", *arguments, f"--namespace={namespace}")

        with pytest.raises(SecretWriteDenied, match="exceeded quota: tight"):
            await created_until_denied(secrets, namespace)

    async def test_quotes_rbac(self, stranger: Api, namespace: str) -> None:
        """A missing rule is quoted with its verb and resource."""
        with pytest.raises(SecretWriteDenied, match='cannot create resource "secrets"'):
            await KubernetesSecrets(stranger).create(published_secret(namespace))

    async def test_says_that_reading_is_not_allowed(self, stranger: Api) -> None:
        """Nothing can be said about a Secret that RBAC hides."""
        with pytest.raises(ApiServerUnavailable, match='cannot get resource "secrets"'):
            await KubernetesSecrets(stranger).read(ABSENT)

    async def test_quotes_immutability(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """An immutable Secret is reported as such."""
        created = await secrets.create(published_secret(namespace, immutable=True))

        with pytest.raises(SecretWriteDenied, match="immutable"):
            await secrets.patch(created.key, change(created, access_token=encoded("another")))

    async def test_never_quotes_a_value(
        self, secrets: KubernetesSecrets, control_plane: ControlPlane, namespace: str
    ) -> None:
        """A policy that quotes what it refuses does not bring the token into a message."""
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
    async def test_never_quotes_an_invalid_value(
        self, secrets: KubernetesSecrets, namespace: str, broken: dict[str, Any]
    ) -> None:
        """The message about invalid data is passed on without the data."""
        with pytest.raises(SecretWriteDenied) as denied:
            await secrets.create(published_secret(namespace, **broken))

        assert TOKEN not in str(denied.value)
        assert encoded(TOKEN) not in str(denied.value)

    async def test_never_quotes_the_stored_secret(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """To a merge patch that cannot be decoded, the API server answers with the whole Secret."""
        created = await secrets.create(published_secret(namespace))

        with pytest.raises(SecretWriteDenied, match=r"Invalid value: \(hidden\): .*base64") as denied:
            await secrets.patch(created.key, change(created, api_token="not base64"))

        assert encoded(TOKEN) not in str(denied.value)
        assert denied.value.__suppress_context__

    async def test_tells_a_namespace_that_is_leaving(self, secrets: KubernetesSecrets, leaving_namespace: str) -> None:
        """Nothing is created in a namespace that is being deleted."""
        with pytest.raises(NamespaceBeingDeleted):
            await secrets.create(published_secret(leaving_namespace))

    async def test_tells_a_namespace_that_is_gone(self, secrets: KubernetesSecrets) -> None:
        """A namespace that is absent is one that was deleted."""
        with pytest.raises(NamespaceBeingDeleted):
            await secrets.create(published_secret("never-there"))

    async def test_deletes_exactly_what_was_read(self, secrets: KubernetesSecrets, namespace: str) -> None:
        """A Secret that changed since is left alone, and one that is gone is no error."""
        created = await secrets.create(published_secret(namespace))
        changed = await secrets.patch(created.key, change(created, by=encoded("somebody")))

        await secrets.delete(created)
        await secrets.delete(replace(changed, uid="another"))
        assert await secrets.read(created.key) == changed

        await secrets.delete(changed)
        await secrets.delete(changed)
        assert await secrets.read(created.key) is None

    async def test_says_that_deleting_is_not_allowed(
        self, secrets: KubernetesSecrets, stranger: Api, namespace: str
    ) -> None:
        """A missing rule is quoted here too."""
        created = await secrets.create(published_secret(namespace))

        with pytest.raises(SecretWriteDenied, match='cannot delete resource "secrets"'):
            await KubernetesSecrets(stranger).delete(created)
