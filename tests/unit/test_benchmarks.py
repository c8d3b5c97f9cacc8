"""The report of the benchmarks: medians, ratios to the floor, and verdicts that hide no missed expectation."""

import json
from dataclasses import replace

import pytest

from benchmarks.report import Memory, Report, Requests, Round
from benchmarks.traffic import read_writes
from benchmarks.workload import Batch, pipedrive_seed
from testbed.figure import Figure
from testbed.hardware import Machine, field, kibibytes

MACHINE = Machine(cores=2, processor="Slow", memory_gib=4, python="3.11.1", kernel="6.1", load=0.5)
GOOD = Round(
    floor_seconds=(3.0, 5.0),
    work_seconds=6.0,
    work_cpu_seconds=5.0,
    lone_apply_seconds=8.0,
    apply_seconds=9.0,
    apply_to_last_secret_seconds=12.0,
    singles_seconds=(0.2, 0.3, 0.9),
    requests=Requests(
        credentials=1000,
        writes={"POST secrets": 1000, "PATCH pipedrivecredentials/status": 1000},
        vault={"read": 1000},
    ),
    empty=Memory(resident_mib=80, peak_mib=80),
    memory=Memory(resident_mib=100, peak_mib=110),
)
WRITES = "API-server writes"
READS = "Vault reads"
BESIDE_FLOOR = "1,000 existing credentials"
METRICS = """
# HELP apiserver_request_total Counter of apiserver requests
apiserver_request_total{code="201",dry_run="",resource="secrets",scope="resource",subresource="",verb="POST"} 5
apiserver_request_total{code="409",dry_run="",resource="secrets",scope="resource",subresource="",verb="POST"} 1
apiserver_request_total{code="200",dry_run="",resource="things",scope="resource",subresource="status",verb="PATCH"} 2
apiserver_request_total{code="200",dry_run="",resource="leases",scope="resource",subresource="",verb="PUT"} 7
apiserver_request_total{code="200",dry_run="",resource="secrets",scope="namespace",subresource="",verb="LIST"} 9
apiserver_request_duration_seconds_count{resource="secrets",verb="POST"} 6
"""


def report(*rounds: Round) -> Report:
    """Build a report of rounds."""
    return Report(machine=MACHINE, workers=20, rounds=rounds)


def line(found: Report, what: str) -> Figure:
    """Return the line that begins with a text."""
    return next(line for line in found.lines if line.what.startswith(what))


def test_a_good_run_is_as_expected() -> None:
    """Every expectation has a line."""
    found = report(GOOD)

    assert found.as_expected
    assert [one.what.split(":")[0] for one in found.lines if one.met] == [
        "1 credential",
        "1,000 existing credentials",
        "1,000 credentials",
        "API-server writes for each first publication",
        "Vault reads for each first publication",
        "resident memory with 1,000 credentials",
    ]


def test_the_median_of_all_single_credentials_counts() -> None:
    """A slow one shows in the range and does not decide."""
    assert line(report(GOOD), "1 credential:").measured == "0.30 (0.20 to 0.90) s"


def test_each_round_is_compared_with_its_own_floor() -> None:
    """The mean of the floors before and after counts: a busy machine slows all three."""
    busy = replace(GOOD, floor_seconds=(8.0, 8.0), work_seconds=12.0)

    assert line(report(GOOD, busy), BESIDE_FLOOR).measured == "1.50 x"


@pytest.mark.parametrize(
    ("what", "worse"),
    [
        ("1 credential:", replace(GOOD, singles_seconds=(0.2, 0.5, 0.5))),
        (BESIDE_FLOOR, replace(GOOD, work_seconds=8.1)),
        ("1,000 credentials: from kubectl", replace(GOOD, apply_to_last_secret_seconds=24.1)),
        (WRITES, replace(GOOD, requests=replace(GOOD.requests, writes={"POST secrets": 2001}))),
        (WRITES, replace(GOOD, requests=replace(GOOD.requests, writes={"POST secrets": 1999}))),
        (READS, replace(GOOD, requests=replace(GOOD.requests, vault={"read": 1000, "sys/mounts": 1}))),
        ("resident memory", replace(GOOD, memory=Memory(resident_mib=130, peak_mib=131))),
    ],
)
def test_a_missed_expectation_is_reported(what: str, worse: Round) -> None:
    """No other line is."""
    found = report(worse)

    assert not found.as_expected
    assert [one.what for one in found.lines if one.met is False] == [line(found, what).what]


def test_one_round_with_one_write_too_many_is_a_miss() -> None:
    """Counts are compared in every round, without a median."""
    writes = {"POST secrets": 1000, "PATCH pipedrivecredentials/status": 1001}
    found = report(GOOD, GOOD, replace(GOOD, requests=replace(GOOD.requests, writes=writes)))

    assert line(found, WRITES).met is False
    assert line(found, WRITES).measured.endswith("(1001 PATCH pipedrivecredentials/status, 1000 POST secrets)")


def test_the_document_is_json_with_every_round() -> None:
    """Programs can read it."""
    document = json.loads(json.dumps(report(GOOD, GOOD).document()))

    assert len(document["rounds"]) == 2
    assert document["machine"]["cores"] == 2
    assert document["as_expected"] is True


def test_writes_are_read_from_the_api_servers_metrics() -> None:
    """Including rejected ones; without reads, and without the API server's own leases."""
    assert read_writes(METRICS) == {"POST secrets": 6, "PATCH things/status": 2}


def test_proc_is_read() -> None:
    """Amounts of memory are in kB, which means KiB."""
    status = "Name:\tpython\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n"

    assert kibibytes(status, "VmRSS") == 1024
    assert field(status, "Name") == "python"
    assert field(status, "VmSwap") is None
    with pytest.raises(ValueError, match="VmSwap"):
        kibibytes(status, "VmSwap")


def test_each_credential_of_a_batch_has_a_token_of_its_own() -> None:
    """Otherwise Pipedrive would receive the same token repeatedly."""
    items = json.loads(Batch(namespace="there", name="some", size=3).manifest())["items"]
    users = pipedrive_seed(3)["users"]

    assert len({item["spec"]["apiToken"]["path"] for item in items}) == 3
    assert len({user["api_token"] for user in users}) == 3
    assert {item["metadata"]["namespace"] for item in items} == {"there"}
