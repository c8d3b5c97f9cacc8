"""Who set which field of a Secret, as a real API server records it: other programs, and other releases."""

import json

import pytest

from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.secrets import KubernetesSecrets
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.grant.token import Accepted
from pipedrive_operator.core.publication.secret import DesiredSecret, desired_secret, manifest, patch, undone
from pipedrive_operator.core.publication.target import ANOTHER_RELEASE, TargetSecret, writers_between
from pipedrive_operator.core.resource.credential import Credential, read_credential
from pipedrive_operator.core.resource.names import LABEL_CREDENTIAL, Key
from support.builders import ACCOUNT, API_TOKEN_SPEC, NOW, api_token, resource
from testbed.control_plane import ControlPlane


def desired_for(credential: Credential, token: str) -> DesiredSecret:
    """Return the Secret for a token."""
    return desired_secret(credential, Accepted(token=api_token(token), account=ACCOUNT, verified_at=NOW))


def credential_in(namespace: str) -> Credential:
    """Build a credential whose Secret has no owner: the garbage collector would delete one whose owner is missing."""
    spec = API_TOKEN_SPEC | {"target": {"deletionPolicy": "Retain"}}
    credential = read_credential(resource(spec, namespace=namespace))
    assert isinstance(credential, Credential)
    return credential


@pytest.fixture
def desired(namespace: str) -> DesiredSecret:
    """Return what this release wants."""
    return desired_for(credential_in(namespace), "a" * 40)


@pytest.fixture
async def published(secrets: KubernetesSecrets, desired: DesiredSecret) -> TargetSecret:
    """Publish it."""
    return await secrets.create(manifest(desired))


async def test_our_own_fields_have_no_other_manager(secrets: KubernetesSecrets, published: TargetSecret) -> None:
    """The API server takes the name from the user agent, without its version."""
    found = await secrets.read(published.key)

    assert found is not None
    assert ({}, True) == (found.managers, found.is_managed)


async def test_another_release_is_named_although_it_has_the_same_field_manager(
    control_plane: ControlPlane, secrets: KubernetesSecrets, desired: DesiredSecret, published: TargetSecret
) -> None:
    """It publishes the token of another Vault."""
    other = desired_for(credential_in(desired.key.namespace), "b" * 40)
    async with await Api.connect(KubernetesSettings(kubeconfig=control_plane.kubeconfig)) as api:
        await KubernetesSecrets(api).patch(published.key, patch(published, other))

    found = await secrets.read(published.key)

    assert found is not None
    assert f"data.api_token is another value (set by {ANOTHER_RELEASE})" in undone(found, desired)
    assert [ANOTHER_RELEASE] == writers_between(published, found)


async def test_another_program_is_named_by_its_field_manager(
    control_plane: ControlPlane, secrets: KubernetesSecrets, desired: DesiredSecret, published: TargetSecret
) -> None:
    """What it has not set is not attributed to it."""
    arguments = ("--overwrite", "--field-manager=labeller", f"--namespace={published.key.namespace}")
    control_plane.kubectl("label", "secret", published.key.name, f"{LABEL_CREDENTIAL}=x", *arguments)

    found = await secrets.read(published.key)

    assert found is not None
    assert undone(found, desired).endswith("(set by labeller)")
    assert ["labeller"] == writers_between(published, found)


async def test_the_program_that_copies_a_secret_manages_the_copy(
    control_plane: ControlPlane, secrets: KubernetesSecrets, published: TargetSecret
) -> None:
    """The copy contains our mark too, which the API server attributes to the copier."""
    arguments = (f"--namespace={published.key.namespace}", "--field-manager=replicator", "--filename=-")
    body = json.loads(control_plane.kubectl("get", "secret", published.key.name, arguments[0], "--output=json"))
    kept = {name: body["metadata"][name] for name in ("labels", "annotations")}
    copied = body | {"metadata": kept | {"name": "copy"}}
    control_plane.kubectl("create", *arguments, stdin=json.dumps(copied))

    copy = await secrets.read(Key(namespace=published.key.namespace, name="copy"))

    assert copy is not None
    assert ({"replicator"}, False) == (set(copy.managers.values()), copy.is_managed)
