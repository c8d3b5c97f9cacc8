"""Pipedrive's report of an uninstall, handed on to the operator with a proof in place of the secret."""

import base64
import json
from collections.abc import AsyncIterator

import pytest

from pipedrive_operator.config.settings import HttpSettings
from pipedrive_operator.core.resource.uninstall import UninstallReport
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.health import HealthServer
from support.front import CALLBACK, Front, Fronts

BODY = {"client_id": "a1", "company_id": 7, "user_id": 11, "timestamp": "2026-03-01 12:00:00"}
BASIC = "Basic " + base64.b64encode(b"a1:s3cret").decode()


@pytest.fixture
def reports() -> list[UninstallReport]:
    """Return the list of the reports that the operator receives."""
    return []


@pytest.fixture
async def front(reports: list[UninstallReport]) -> AsyncIterator[Front]:
    """Serve a front that forwards to an operator."""

    async def take(report: UninstallReport) -> None:
        reports.append(report)

    settings = HttpSettings(address="127.0.0.1", port=0)
    async with (
        HealthServer(settings, live=dict, ready=dict, on_uninstall=take) as operator,
        Fronts(operator_url=f"http://127.0.0.1:{operator.port}").serve() as served,
    ):
        yield served


async def test_a_report_reaches_the_operator_with_a_proof(front: Front, reports: list[UninstallReport]) -> None:
    """The operator knows the secret from Vault."""
    answer = await front.send(
        CALLBACK, method="DELETE", body=json.dumps(BODY).encode(), headers={"Authorization": BASIC}
    )

    assert 204 == answer.status
    assert [(7, 11, True)] == [
        (report.company_id, report.user_id, report.is_proven_by(SecretValue("s3cret"))) for report in reports
    ]


@pytest.mark.parametrize(
    ("body", "authorization"),
    [
        (json.dumps(BODY).encode(), ""),
        (json.dumps(BODY).encode(), "Basic " + base64.b64encode(b"other:s3cret").decode()),
        (json.dumps(BODY).encode(), "Basic é"),
        (b"{}", BASIC),
        (b"x" * 1_000_000, BASIC),
    ],
    ids=["no credentials", "another app's", "not ASCII", "no report", "huge"],
)
async def test_anything_else_is_dropped_with_the_same_response(
    front: Front, reports: list[UninstallReport], body: bytes, authorization: str
) -> None:
    """Pipedrive ignores our response, and a stranger learns nothing from it."""
    answer = await front.send(CALLBACK, method="DELETE", body=body, headers={"Authorization": authorization})

    assert 204 == answer.status
    assert [] == reports


async def test_a_flood_of_reports_reaches_the_operator_at_a_bounded_rate(
    front: Front, reports: list[UninstallReport]
) -> None:
    """Each costs it a read from Vault."""
    for _ in range(50):
        await front.send(CALLBACK, method="DELETE", body=json.dumps(BODY).encode(), headers={"Authorization": BASIC})

    assert 20 == len(reports)


async def test_an_operator_that_is_away_changes_nothing_for_pipedrive() -> None:
    """The next refresh notices the uninstall anyway."""
    async with Fronts(operator_url="http://127.0.0.1:1").serve() as front:
        answer = await front.send(
            CALLBACK, method="DELETE", body=json.dumps(BODY).encode(), headers={"Authorization": BASIC}
        )

    assert 204 == answer.status
