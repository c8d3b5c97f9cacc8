"""Hands Pipedrive's reports of uninstalls on to the operator, which alone can verify them. Nothing is decided here.

The secret in a report stays in this function: the operator gets a proof in its place. Pipedrive ignores our response,
so a report that cannot be delivered is dropped; the next refresh of the grant notices the uninstall.
"""

from http import HTTPStatus
from typing import Final

import aiohttp

from pipedrive_operator.core.resource.uninstall import read_uninstall_callback
from pipedrive_operator.fairness.budget import Budget
from pipedrive_operator.health import UNINSTALLS
from pipedrive_operator.log import get_logger
from pipedrive_operator.ports import Clock

_PER_SECOND: Final = 5.0
"""How many reports are handed on; each costs the operator a read from Vault."""
_BURST: Final = 20
"""How many may come at once after a quiet time."""
_REPORTS: Final = "reports of uninstalls"
"""The one subject of the budget: a sender cannot be known before the operator has verified the report."""
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)

_log = get_logger(__name__)


class UninstallForwarder:
    """Forwards reports to one operator."""

    def __init__(self, session: aiohttp.ClientSession, operator_url: str | None, clock: Clock) -> None:
        """Forward to the operator at `operator_url`, or drop every report if it is None."""
        self._session = session
        self._url = operator_url and f"{operator_url.rstrip('/')}{UNINSTALLS}"
        self._clock = clock
        self._budget = Budget(per_second=_PER_SECOND, burst=_BURST)

    async def take(self, body: bytes, authorization: str | None) -> None:
        """Forward a report, if it has the right form."""
        report = read_uninstall_callback(body, authorization)
        if report is None or self._url is None or not self._budget.take(_REPORTS, self._clock.monotonic()):
            return
        try:
            async with self._session.post(
                self._url, json=report.manifest(), timeout=_TIMEOUT, allow_redirects=False
            ) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.warning("the report of an uninstall was not delivered to the operator", error=type(error).__name__)
            return
        if status != HTTPStatus.ACCEPTED:
            _log.warning("the operator did not accept the report of an uninstall", code=status)
