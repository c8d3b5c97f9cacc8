"""What Prometheus scrapes from a running operator: every metric, with its labels, as long as its object exists."""

from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipedrive_operator.metrics import DEFINITIONS
from support import promql
from support.tenant import Tenant, eventually
from testbed.openbao import OpenBao
from testbed.operator_process import OperatorProcess

NOT_MET = {"consent_front_responses_total", "escrow_failures_total", "insecure_connection", "workload_restarts_total"}
"""What this scenario does not bring about."""


def scraped(operator: OperatorProcess) -> dict[str, Any]:
    """Return the scraped families by their names."""
    answer = operator.get("/metrics")
    assert answer is not None
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def of(operator: OperatorProcess, tenant: Tenant) -> dict[str, float]:
    """Return the series about one credential by their names."""
    return {
        sample.name.removeprefix("pipedrive_operator_credential_"): sample.value
        for family in scraped(operator).values()
        for sample in family.samples
        if sample.labels.get("namespace") == tenant.namespace
    }


@pytest.fixture
def published(tenant: Tenant) -> Tenant:
    """Publish an access token."""
    tenant.apply_oauth2()
    tenant.wait_until_published()
    return tenant


def test_every_defined_metric_is_exported(operator: OperatorProcess, published: Tenant) -> None:
    """Its labels are those in docs/metrics.md. Every metric that an alert or the dashboard queries is exported, too."""
    assert published.secret() is not None
    found = scraped(operator)

    for one in DEFINITIONS:
        family = found[one.name.removesuffix("_total") if one.type == "counter" else one.name]
        labels = [set(sample.labels) - {"le"} for sample in family.samples]
        assert labels or one.name.removeprefix("pipedrive_operator_") in NOT_MET, one.name
        assert all(set(one.labels) == names for names in labels), one.name
    series = {sample.name for family in found.values() for sample in family.samples}
    wanted = {name for query in promql.queries() for name in query.metrics}
    assert {f"pipedrive_operator_{name}" for name in NOT_MET} >= wanted - series


def test_the_series_of_a_credential_end_with_it(operator: OperatorProcess, published: Tenant) -> None:
    """Its times are plausible while it exists."""
    series = eventually(lambda: of(operator, published))
    times = [series[f"{name}_timestamp_seconds"] for name in ("last_refresh", "renewal", "expiration")]
    assert times == sorted(times)
    assert (1, 0, 1) == (series["ready"], series["stalled"], series["reason"])

    published.kubectl("delete", "pipedrivecredential", "acme")

    eventually(lambda: of(operator, published) == {})


def test_a_sealed_vault_is_reported_by_a_metric(operator: OperatorProcess, published: Tenant, openbao: OpenBao) -> None:
    """The metric is 0 from the next poll until the first response after Vault is unsealed."""

    def vault_up(value: float) -> Callable[[], bool]:
        return lambda: [value] == [one.value for one in scraped(operator)["pipedrive_operator_vault_up"].samples]

    assert published.secret() is not None
    eventually(vault_up(1))
    openbao.seal()
    try:
        eventually(vault_up(0))
    finally:
        openbao.unseal()
    eventually(vault_up(1))
