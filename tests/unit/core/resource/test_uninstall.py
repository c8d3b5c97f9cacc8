"""The report of an uninstall: what Pipedrive sends, and the proof that the front hands on in place of the secret."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.core.resource.uninstall import read_report, read_uninstall_callback
from pipedrive_operator.core.values.secret_value import SecretValue
from support.properties import ANYTHING, mostly, reads_anything

SECRET = SecretValue("s:3cret")
SENT: dict[str, Any] = {"client_id": "a1", "company_id": 1, "user_id": 2, "timestamp": "2026-03-01 12:00:00"}
PROVEN: dict[str, Any] = {"clientId": "a1", "companyId": 1, "userId": 2, "timestamp": "", "proof": "0" * 64}


def basic(user: str = "a1", password: str = "s:3cret") -> str:
    """Return the header that Pipedrive sends."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def callback(**changes: Any) -> bytes:
    """Return the body that Pipedrive sends."""
    return encoded({**SENT, **changes})


def encoded(body: object) -> bytes:
    """Return a body as JSON, or none if Python cannot express it."""
    try:
        return json.dumps(body).encode()
    except (ValueError, RecursionError):
        return b""


def test_the_report_proves_that_the_sender_knew_the_secret() -> None:
    """It does not contain the secret."""
    report = read_uninstall_callback(callback(), basic())

    assert report is not None
    assert report.is_proven_by(SECRET)
    assert not report.is_proven_by(SecretValue("other"))
    assert SECRET.reveal() not in json.dumps(report.manifest())


def test_the_operator_reads_what_the_front_sends() -> None:
    """The report is sent as JSON over HTTP."""
    report = read_uninstall_callback(callback(), basic())

    assert report is not None
    assert report == read_report(json.dumps(report.manifest()).encode())


@pytest.mark.parametrize("field", ["companyId", "userId", "timestamp", "clientId"])
def test_a_changed_report_is_not_proven(field: str) -> None:
    """Nobody can turn one report into another on the way."""
    report = read_uninstall_callback(callback(), basic())
    assert report is not None

    changed = read_report(json.dumps({**report.manifest(), field: "7"}).encode())

    assert changed is not None
    assert not changed.is_proven_by(SECRET)


@pytest.mark.parametrize("ids", [{"company_id": "1", "user_id": "2"}, {"timestamp": None}, {"timestamp": 1772366400}])
def test_every_plausible_format_is_read(ids: dict[str, Any]) -> None:
    """Pipedrive documents neither the types of the ids nor the format of the time."""
    report = read_uninstall_callback(callback(**ids), basic())

    assert report is not None
    assert (1, 2) == (report.company_id, report.user_id)


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (callback(), None),
        (callback(), "Bearer a1:s:3cret"),
        (callback(), "Basic !"),
        (callback(), "Basic \x80"),
        (callback(), "Basic \udcff"),
        (callback(), "Basic " + base64.b64encode(b"\xff:x").decode()),
        (callback(), basic(password="")),
        (callback(), basic(user="another")),
        (callback(client_id="another"), basic()),
        (callback(client_id=["a1"]), basic()),
        (callback(company_id=True), basic()),
        (callback(company_id=-1), basic()),
        (callback(company_id=1.5), basic()),
        (callback(company_id="9" * 19), basic()),
        (callback(timestamp="x" * 65), basic()),
        (callback(timestamp="a\nb"), basic()),
        (b"", basic()),
        (b"[1]", basic()),
        (b"[" * 4000, basic()),
        (callback(padding="x" * 5000), basic()),
    ],
)
def test_anything_else_is_no_report(body: bytes, header: str | None) -> None:
    """It is dropped silently."""
    assert read_uninstall_callback(body, header) is None


@pytest.mark.parametrize(
    "change", [{"proof": "x"}, {"proof": 1}, {"clientId": "a:b"}, {"clientId": ""}, {"userId": None}]
)
def test_the_operator_reads_a_report_as_strictly(change: dict[str, Any]) -> None:
    """Anyone in the cluster may reach its endpoint."""
    report = read_uninstall_callback(callback(), basic())

    assert report is not None
    assert read_report(json.dumps({**report.manifest(), **change}).encode()) is None


@reads_anything
@given(
    fields=st.dictionaries(st.sampled_from(sorted(SENT)), mostly(st.just("1")), max_size=2) | ANYTHING,
    header=mostly(st.just(basic())) | st.text(st.characters()).map("Basic {}".format) | st.none(),
)
def test_any_callback_is_a_report_or_dropped(fields: object, header: object) -> None:
    """Anyone on the internet can send one. What is read fits into the request to the operator, and is proven there."""
    body = callback(**fields) if isinstance(fields, dict) else encoded(fields)

    report = read_uninstall_callback(body, header if isinstance(header, str) else None)

    if report is not None:
        assert report.is_proven_by(SECRET)
        assert report == read_report(json.dumps(report.manifest()).encode())


@reads_anything
@given(fields=st.dictionaries(st.sampled_from(sorted(PROVEN)), ANYTHING, max_size=2), noise=st.binary(max_size=50))
def test_any_report_of_a_front_is_read_or_dropped(fields: dict[str, object], noise: bytes) -> None:
    """Anyone in the cluster may reach the operator's endpoint."""
    report = read_report(encoded(PROVEN | fields))

    assert report is None or isinstance(report.is_proven_by(SECRET), bool)
    assert read_report(noise) is None
    assert read_uninstall_callback(noise, basic()) is None
