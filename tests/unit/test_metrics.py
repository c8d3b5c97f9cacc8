"""The metrics: what their page promises is what is exported, and a series goes with its credential."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

from pipedrive_operator import metrics
from support.builders import NOW


def exported() -> str:
    """Return what Prometheus would get."""
    return metrics.exposition().decode()


def reported(**changes: Any) -> None:
    """Report a credential in good health."""
    healthy: dict[str, Any] = {"ready": True, "stalled": False, "reason": "Published"}
    times: dict[str, Any] = dict.fromkeys(("expires_at", "renewal_at", "refreshed_at", "verified_at"), NOW)
    metrics.credential_reported("crm", "acme", **(healthy | times | changes))


def test_every_metric_that_is_exported_is_defined() -> None:
    """With its type, and under the name by which Prometheus knows it."""
    found = {
        (f"{family.name}_total" if family.type == "counter" else family.name, family.type, family.documentation)
        for family in metrics.REGISTRY.collect()
    }

    assert {(one.name, one.type, one.meaning) for one in metrics.DEFINITIONS} == found


def test_a_credential_has_its_times_and_loses_them() -> None:
    """An absent time has no series, rather than a false one."""
    reported(expires_at=NOW + timedelta(hours=1))
    series = 'credential_expiration_timestamp_seconds{name="acme",namespace="crm"} 1.7726292e+09'
    assert series in exported()

    reported(expires_at=None)
    assert series not in exported()
    assert 'credential_ready{name="acme",namespace="crm"} 1.0' in exported()

    metrics.credential_gone("crm", "acme")
    assert "acme" not in exported()


def test_a_credential_has_one_reason() -> None:
    """The former one goes when another comes."""
    reported()
    reported(reason="ConsentRequired", stalled=True, ready=False)

    shown = [line for line in exported().splitlines() if "acme" in line and "reason" in line]
    expected = 'pipedrive_operator_credential_reason{name="acme",namespace="crm",reason="ConsentRequired"} 1.0'
    assert [expected] == shown
    assert 'credential_stalled{name="acme",namespace="crm"} 1.0' in exported()
    metrics.credential_gone("crm", "acme")


def test_a_replica_that_no_longer_leads_tells_of_no_credential() -> None:
    """Another one does, and this one's last word would stand beside it for ever."""
    reported()
    metrics.escrow_holds(2)

    metrics.tenure_ended()

    assert "acme" not in exported()
    assert "pipedrive_operator_escrow_grants 0.0" in exported()
    reported()
    assert 'reason="Published"' in exported()
    metrics.credential_gone("crm", "acme")


def test_every_outcome_of_a_refresh_is_there_from_the_start() -> None:
    """`increase` does not see a counter appear."""
    for outcome in ("fresh", "refused", "unavailable", "unstored"):
        assert f'pipedrive_operator_refreshes_total{{outcome="{outcome}"}}' in exported()


def test_a_request_is_counted_by_its_answer() -> None:
    """Also one that was not answered."""
    with metrics.request("vault", "test") as counted:
        counted.code = "200"
    with suppress(TimeoutError), metrics.request("vault", "test"):
        raise TimeoutError

    assert 'requests_total{code="200",operation="test",service="vault"} 1.0' in exported()
    assert 'requests_total{code="none",operation="test",service="vault"} 1.0' in exported()
    assert 'request_duration_seconds_count{operation="test",service="vault"} 2.0' in exported()
