"""The API server's ports, for an administrator and for a user to whom RBAC grants nothing."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.credentials import KubernetesCredentials
from pipedrive_operator.adapters.kubernetes.endpoints import CREDENTIALS
from pipedrive_operator.adapters.kubernetes.secrets import KubernetesSecrets
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.resource.credential import AnyCredential, read_credential
from support import manifests
from support.builders import NOW
from testbed.control_plane import ControlPlane


@pytest.fixture(autouse=True)
def with_crd(crd: None) -> None:
    """Install the CRD before each test."""
    assert crd is None


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[Api]:
    """Connect as administrator."""
    async with await Api.connect(KubernetesSettings(kubeconfig=control_plane.kubeconfig)) as api:
        yield api


@pytest.fixture
async def stranger(control_plane: ControlPlane) -> AsyncIterator[Api]:
    """Connect as a user to whom RBAC grants nothing."""
    kubeconfig = control_plane.kubeconfig_for("stranger")
    async with await Api.connect(KubernetesSettings(kubeconfig=kubeconfig)) as api:
        yield api


@pytest.fixture
def secrets(api: Api) -> KubernetesSecrets:
    """Return the port of Secrets."""
    return KubernetesSecrets(api)


@pytest.fixture
def clock() -> TurnedClock:
    """Return the clock of the port of credentials."""
    return TurnedClock(NOW + timedelta(milliseconds=250))


@pytest.fixture
def credentials(api: Api, clock: TurnedClock) -> KubernetesCredentials:
    """Return the port of credentials."""
    return KubernetesCredentials(api, clock, instance="operator-0")


@pytest.fixture
async def credential(api: Api, namespace: str) -> AnyCredential:
    """Create a credential."""
    spec = {"apiToken": {"path": "pipedrive/crm/acme"}}
    return read_credential(
        await api.create(CREDENTIALS.collection(namespace), manifests.credential("acme", spec, namespace=namespace)),
    )


@pytest.fixture
def terminating_namespace(control_plane: ControlPlane, namespace: str) -> Iterator[str]:
    """Delete a namespace that stays, because a finalizer holds an object in it."""
    held = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "held", "finalizers": ["test/hold"]},
    }
    control_plane.kubectl("create", f"--namespace={namespace}", "--filename=-", stdin=json.dumps(held))
    control_plane.kubectl("delete", "namespace", namespace, "--wait=false")
    yield namespace
    release = json.dumps({"metadata": {"finalizers": None}})
    control_plane.kubectl("patch", "configmap", "held", f"--namespace={namespace}", f"--patch={release}")
