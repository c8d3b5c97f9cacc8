"""Which failures to store a grant are reported as defects of the operator."""

import asyncio
from typing import Any

import pytest

from pipedrive_operator.core.values.errors import ApiServerUnavailable, FenceClosed, VaultUnavailable
from pipedrive_operator.grants.unexpected import as_trouble


async def reports_of(error: Exception) -> list[Any]:
    """Turn an error into a trouble, and return what the event loop was given as unexpected."""
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    assert as_trouble(error).message
    return reported


@pytest.mark.parametrize(
    "error", [VaultUnavailable("Vault is sealed"), ApiServerUnavailable("no answer"), FenceClosed("lost the Lease")]
)
async def test_an_outage_while_a_grant_is_stored_is_no_defect(error: Exception) -> None:
    """The escrow is read from the API server, which may be down together with Vault."""
    assert [] == await reports_of(error)


async def test_any_other_error_is_reported_as_a_defect() -> None:
    """It is a mistake in the operator."""
    error = KeyError("defect")

    assert [error] == await reports_of(error)
