"""The real parts, one of each per process, and a namespace and a path in Vault for every test.

No test is skipped when a program is missing: it is built, which takes minutes the first time and shows progress.
"""

import uuid
from collections.abc import Iterator

import pytest

from support.crd import install_crd
from support.file_order import run_first
from testbed import binaries
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao

LONGEST = ("test_vault_tenants", "test_watch", "test_crd_rules", "test_vault_logins")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    run_first(items, LONGEST)


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Run a control plane with a garbage collector; its logs are in pytest's temporary folder."""
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        binaries.ensure(*binaries.TESTS_NEED)
    with ControlPlane(folder=tmp_path_factory.mktemp("control-plane")) as running:
        yield running


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """Run an OpenBao server in memory; its audit log is in pytest's temporary folder."""
    with OpenBao(folder=tmp_path_factory.mktemp("openbao")) as running:
        yield running


@pytest.fixture(scope="session")
def crd(control_plane: ControlPlane) -> None:
    """Install the CRD once; a test that changes it restores it."""
    install_crd(control_plane)


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """Create a namespace for one test; it is deleted afterwards, without waiting for the end."""
    name, client = f"test-{uuid.uuid4().hex[:8]}", control_plane.client()
    client.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    client.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def vault_prefix() -> str:
    """Return a path below `secret/` that no other test uses."""
    return f"test-{uuid.uuid4().hex[:8]}"
