"""The metrics: what their page promises is what is exported, and a series goes with its credential."""

import re
from contextlib import suppress
from datetime import timedelta
from functools import partial

from pipedrive_operator import metrics
from support.builders import NOW


def exported() -> str:
    """Return what Prometheus would get."""
    return metrics.exposition().decode()


def test_the_page_names_every_metric_with_its_labels() -> None:
    """And no other."""
    assert metrics.__doc__ is not None
    promised = set(re.findall(r"^    (pipedrive_operator_\w+)", metrics.__doc__, re.MULTILINE))
    found = {
        f"{family.name}_total" if family.type == "counter" else family.name for family in metrics.REGISTRY.collect()
    }

    assert promised == found


def test_a_credential_has_its_times_and_loses_them() -> None:
    """An absent time has no series, rather than a false one."""
    report = partial(metrics.credential_reported, "crm", "acme", ready=True, renewal_at=NOW, verified_at=NOW)
    report(expires_at=NOW + timedelta(hours=1))
    series = 'credential_expiration_timestamp_seconds{name="acme",namespace="crm"} 1.7726292e+09'
    assert series in exported()

    report(expires_at=None)
    assert series not in exported()
    assert 'credential_ready{name="acme",namespace="crm"} 1.0' in exported()

    metrics.credential_gone("crm", "acme")
    assert "acme" not in exported()


def test_a_request_is_counted_by_its_answer() -> None:
    """Also one that was not answered."""
    with metrics.request("vault", "test") as counted:
        counted.code = "200"
    with suppress(TimeoutError), metrics.request("vault", "test"):
        raise TimeoutError

    assert 'requests_total{code="200",operation="test",service="vault"} 1.0' in exported()
    assert 'requests_total{code="none",operation="test",service="vault"} 1.0' in exported()
    assert 'request_duration_seconds_count{operation="test",service="vault"} 2.0' in exported()
