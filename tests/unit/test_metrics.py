"""The metrics: exactly the documented ones are exported, and the series of a credential are removed with it."""

import re
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator import metrics, series
from support.builders import NOW


def exported() -> str:
    """Return what Prometheus would scrape."""
    return metrics.exposition().decode()


def show_healthy_credential(**changes: Any) -> None:
    """Set the series of a healthy credential."""
    healthy: dict[str, Any] = {"ready": True, "stalled": False, "reason": "Published"}
    times: dict[str, Any] = dict.fromkeys(("expires_at", "renewal_at", "refreshed_at", "verified_at"), NOW)
    metrics.show_credential("crm", "acme", **(healthy | times | changes))


def test_every_exported_metric_is_defined() -> None:
    """Its type, its help text and the name that Prometheus shows are compared."""
    found = re.findall(r"^# HELP (\S+) (.+)\n# TYPE \1 (\w+)$", exported(), re.MULTILINE)

    assert sorted((one.name, one.help, one.type) for one in metrics.DEFINITIONS) == sorted(found)


def test_a_scrape_formats_no_series_of_a_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    """Formatting 70,000 values takes more than a second, in which the event loop waits for the interpreter's lock."""
    show_healthy_credential()
    monkeypatch.setattr(series, "_escaped", None)

    assert 'credential_ready{name="acme",namespace="crm"} 1.0' in exported()

    metrics.remove_credential("crm", "acme")


def test_a_time_that_is_unset_has_no_series() -> None:
    """A zero would look like a credential that expired in 1970."""
    show_healthy_credential(expires_at=NOW + timedelta(hours=1))
    series = 'credential_expiration_timestamp_seconds{name="acme",namespace="crm"} 1772629200.0'
    assert series in exported()

    show_healthy_credential(expires_at=None)
    assert series not in exported()
    assert 'credential_ready{name="acme",namespace="crm"} 1.0' in exported()

    metrics.remove_credential("crm", "acme")
    assert "acme" not in exported()


def test_a_credential_has_one_reason() -> None:
    """A new reason replaces the old one."""
    show_healthy_credential()
    show_healthy_credential(reason="ConsentRequired", stalled=True, ready=False)

    shown = [line for line in exported().splitlines() if "acme" in line and "reason" in line]
    expected = 'pipedrive_operator_credential_reason{name="acme",namespace="crm",reason="ConsentRequired"} 1.0'
    assert [expected] == shown
    assert 'credential_stalled{name="acme",namespace="crm"} 1.0' in exported()
    metrics.remove_credential("crm", "acme")


def test_a_former_leader_exports_no_credential() -> None:
    """The new leader does, and old values here would contradict it."""
    show_healthy_credential()
    metrics.show_escrow(2)

    metrics.clear_leader_series()

    assert "acme" not in exported()
    assert "pipedrive_operator_escrow_grants 0.0" in exported()
    show_healthy_credential()
    assert 'reason="Published"' in exported()
    metrics.remove_credential("crm", "acme")


def test_every_outcome_of_a_refresh_is_exported_from_the_start() -> None:
    """`increase` misses the first count of a counter that did not exist before."""
    for outcome in ("fresh", "refused", "unavailable", "unstored"):
        assert f'pipedrive_operator_refreshes_total{{outcome="{outcome}"}}' in exported()


def test_a_request_is_counted_by_its_status_code() -> None:
    """A request without a response is counted as well."""
    with metrics.request("vault", "test") as measurement:
        measurement.code = "200"
    with suppress(TimeoutError), metrics.request("vault", "test"):
        raise TimeoutError

    assert 'requests_total{code="200",operation="test",service="vault"} 1.0' in exported()
    assert 'requests_total{code="none",operation="test",service="vault"} 1.0' in exported()
    assert 'request_duration_seconds_count{operation="test",service="vault"} 2.0' in exported()


def test_connections_that_are_not_encrypted_are_shown() -> None:
    """An alert can therefore find them."""
    metrics.show_insecure(["vault far"])

    assert 'pipedrive_operator_insecure_connection{connection="vault far"} 1.0' in exported()


def test_labels_are_masked() -> None:
    """The mask is the last defence, also against a label that comes from an error or a response."""
    token = f"12:34:{'5f' * 20}"
    show_healthy_credential(reason=token)
    with metrics.request("pipedrive", "identify") as counted:
        counted.code = token
    for count in (metrics.count_pass, metrics.count_refresh, metrics.count_restart):
        count(token)

    assert token not in exported()
    for metric in ("credential_reason", "requests_total", "passes_total", "refreshes_total", "workload_restarts_total"):
        assert any(
            "(hidden)" in line for line in exported().splitlines() if line.startswith(f"pipedrive_operator_{metric}")
        )
    metrics.remove_credential("crm", "acme")
