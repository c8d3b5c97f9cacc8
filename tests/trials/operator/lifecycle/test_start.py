"""What is missing when the operator starts, or disappears later: it is not ready, says what to do, and waits."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
import yaml

from pipedrive_operator.adapters.kubernetes.crd_version import CRD_NAME, UPGRADE
from support.crd import CRD, install_crd
from support.operated import Json
from support.tenant import Tenant, eventually
from testbed.control_plane import ControlPlane
from testbed.link import Links
from testbed.openbao import OpenBao
from testbed.operator_process import OperatorProcess


@pytest.fixture
def older(control_plane: ControlPlane, crd: None) -> Iterator[Callable[[], None]]:
    """Replace the CRD by one that lacks a field of the status; restore it after the test."""
    assert crd is None
    definition = yaml.safe_load(CRD.read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["status"]["properties"]["expiresAt"]

    def apply() -> None:
        control_plane.kubectl("replace", "--filename=-", stdin=json.dumps(definition))

    yield apply
    install_crd(control_plane)


@pytest.fixture
def absent(control_plane: ControlPlane) -> Iterator[Callable[[], None]]:
    """Delete the CRD; restore it after the test."""

    def delete() -> None:
        control_plane.kubectl("delete", "crd", CRD_NAME)

    yield delete
    install_crd(control_plane)


def eventually_not_ready(operator: OperatorProcess, *words: str) -> None:
    """Wait until the operator is not ready and its report contains this text."""

    def look() -> bool:
        answer = operator.get("/readyz")
        return answer is not None and answer.status != HTTPStatus.OK and all(word in answer.text for word in words)

    look.__doc__ = f"not ready: {words}"
    eventually(look)


@contextmanager
def started(settings: Json, folder: Path) -> Iterator[OperatorProcess]:
    """Start an operator that is not ready yet."""
    operator = OperatorProcess(settings, folder=folder)
    operator.start()
    try:
        yield operator
    finally:
        operator.stop()


def test_an_older_crd_is_noticed_at_once_and_so_is_its_upgrade(
    settings: Callable[[str], Json], older: Callable[[], None], tenant: Tenant, tmp_path: Path
) -> None:
    """Published Secrets stay valid in the meantime."""
    with started(settings(tenant.namespace), tmp_path) as operator:
        operator.wait_ready()
        older()

        eventually_not_ready(operator, "older than the operator", "status.expiresAt", UPGRADE)
        tenant.apply_api_token()
        eventually(tenant.secret)

        install_crd(tenant.cluster)
        eventually(operator.is_ready)


def test_an_operator_that_starts_before_its_crd_waits(
    settings: Callable[[str], Json], absent: Callable[[], None], tenant: Tenant, tmp_path: Path
) -> None:
    """Its log says so, too. It starts to work once the CRD exists, without a restart."""
    absent()
    with started(settings(tenant.namespace), tmp_path) as operator:
        eventually_not_ready(operator, "is not installed", UPGRADE)
        assert UPGRADE in operator.log.read_text()

        install_crd(tenant.cluster)
        operator.wait_ready()
        tenant.apply_api_token()
        tenant.wait_until_published()


def test_an_operator_that_starts_before_its_crd_is_upgraded_waits(
    settings: Callable[[str], Json], older: Callable[[], None], tenant: Tenant, tmp_path: Path
) -> None:
    """An existing credential is not touched before."""
    older()
    tenant.apply_api_token()
    with started(settings(tenant.namespace), tmp_path) as operator:
        eventually_not_ready(operator, "older than the operator", UPGRADE)
        assert tenant.secret() is None

        install_crd(tenant.cluster)
        operator.wait_ready()
        tenant.wait_until_published()


def test_an_operator_that_starts_before_the_api_server_waits(
    settings: Callable[[str], Json], control_plane: ControlPlane, crd: None, tenant: Tenant, tmp_path: Path
) -> None:
    """Both start at the same time after a power cut."""
    assert crd is None
    wanted = settings(tenant.namespace)
    control_plane.stop_apiserver()
    with started(wanted, tmp_path) as operator:
        try:
            eventually_not_ready(operator, "the API server did not respond")
        finally:
            control_plane.start_apiserver()
        operator.wait_ready()
        tenant.apply_api_token()
        tenant.wait_until_published()


def test_an_operator_that_starts_before_vault_publishes_once_vault_is_available(
    settings: Callable[[str], Json], openbao: OpenBao, crd: None, tenant: Tenant, tmp_path: Path
) -> None:
    """It is ready, as other connections may work. The credential reports the trouble."""
    assert crd is None
    with Links() as links:
        way = links.to(openbao.port)
        way.refuse()
        wanted = settings(tenant.namespace)
        wanted["vault"]["connections"]["default"]["address"] = way.url
        with started(wanted, tmp_path) as operator:
            operator.wait_ready()
            tenant.apply_api_token()
            tenant.wait_for("VaultUnavailable")

            way.mend()
            tenant.wait_until_published()
