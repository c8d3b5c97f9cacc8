"""SIGTERM during a refresh: the operator stores the result before it exits, and sends nothing more."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.operated import Json
from support.tenant import Tenant, eventually
from testbed.link import Link, Links
from testbed.operator_process import OperatorProcess
from testbed.pipedrive.ledger import Call

ESCROW_LABEL = "pipedrive-operator.io/escrow"


@dataclass(frozen=True)
class Stoppable:
    """An operator whose link to Vault a test can cut."""

    process: OperatorProcess
    vault: Link


@pytest.fixture
def operator(settings: Callable[[str], Json], crd: None, tenant: Tenant, tmp_path: Path) -> Iterator[Stoppable]:
    """Run an operator for the namespace of the test alone."""
    assert crd is None
    with Links() as links:
        vault = links.to(tenant.openbao.port)
        wanted = settings(tenant.namespace)
        wanted["kubernetes"] |= {"namespaces": [tenant.namespace], "operatorNamespace": tenant.namespace}
        wanted["vault"]["connections"]["default"] |= {"address": vault.url, "timeout": "1s"}
        wanted["pipedrive"] |= {"timeout": "10s"}
        wanted["leaderElection"] = {"enabled": True, "leaseDuration": "20s"}
        with OperatorProcess(wanted, folder=tmp_path) as process:
            yield Stoppable(process, vault)


@pytest.fixture
def refresh_in_flight(operator: Stoppable, tenant: Tenant) -> Iterator[None]:
    """Let Pipedrive spend the refresh token, and hold the response back until `clear_faults`."""
    assert operator
    tenant.pipedrive.add_fault("hang", endpoint="token", effect="after", company_id=tenant.company_id)
    tenant.apply_oauth2()
    eventually(lambda: _refreshes(tenant))
    yield
    tenant.pipedrive.clear_faults()


@pytest.mark.usefixtures("refresh_in_flight")
def test_the_result_of_a_refresh_in_flight_is_stored_before_the_operator_exits(
    operator: Stoppable, tenant: Tenant
) -> None:
    """The response exists only in this process."""
    operator.process.terminate()
    eventually(lambda: "stopping" in operator.process.log.read_text())

    tenant.pipedrive.clear_faults()

    assert operator.process.wait() == 0
    stored = tenant.stored("acme")
    assert "refreshed_from" in stored
    assert "refresh_id" not in stored
    assert len(_refreshes(tenant)) == 1
    assert _lease_holder(tenant) == ""


@pytest.mark.usefixtures("refresh_in_flight")
def test_the_operator_waits_for_a_vault_that_is_unreachable_during_the_shutdown(
    operator: Stoppable, tenant: Tenant
) -> None:
    """A copy is in escrow meanwhile, and is deleted once Vault has stored the result."""
    operator.process.terminate()
    eventually(lambda: "stopping" in operator.process.log.read_text())
    operator.vault.cut()

    tenant.pipedrive.clear_faults()
    eventually(lambda: _in_escrow(tenant))
    assert _lease_holder(tenant)
    operator.vault.mend()

    assert operator.process.wait() == 0
    assert "refreshed_from" in tenant.stored("acme")
    assert _in_escrow(tenant) == 0


def _refreshes(tenant: Tenant) -> list[Call]:
    """Return the refreshes that reached Pipedrive for the tenant's company."""
    calls = tenant.pipedrive.ledger().calls
    return [call for call in calls if call.is_refresh and call.subject.company_id == tenant.company_id]


def _in_escrow(tenant: Tenant) -> int:
    return len(tenant.kubectl("get", "secrets", f"--selector={ESCROW_LABEL}", "--output=name").split())


def _lease_holder(tenant: Tenant) -> str:
    return tenant.kubectl("get", "lease", "pipedrive-operator", "--output=jsonpath={.spec.holderIdentity}")
