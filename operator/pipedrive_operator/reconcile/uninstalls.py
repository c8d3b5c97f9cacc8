"""Takes reports of uninstalls: verifies them, and has the grant refreshed. A report alone deletes nothing.

Any replica may receive a report, and it may be forged, repeated or outdated. So a report only causes a refresh, at most
once a minute for each credential: if Pipedrive refuses it, the grant is no longer valid. The status carries the report
to the leader.
"""

import math
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from pipedrive_operator.core.decision.report import Announcement
from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.uninstall import UninstallReport
from pipedrive_operator.core.values.conditions import EventReason
from pipedrive_operator.core.values.errors import ReportDenied, Trouble
from pipedrive_operator.core.values.times import format_time
from pipedrive_operator.fairness.budget import Budget
from pipedrive_operator.fairness.slots import serving
from pipedrive_operator.grants import GrantKeeper
from pipedrive_operator.ports import Cache, Clock, Credentials

SHORTEST_INTERVAL: Final = timedelta(minutes=1)
"""The shortest time between two refreshes of a credential's grant that reports cause."""
READS_PER_SECOND: Final = 5
"""How many clients of a namespace are read from Vault to verify reports, which anyone can make up."""
INDEX_AGE: Final = 1.0
"""In seconds: how often the accounts of all credentials are collected, however many reports arrive."""

_Account = tuple[int, int]
"""The ids of a company and of a user."""


class Uninstalls:
    """Handles reports of uninstalls."""

    def __init__(self, *, cache: Cache, credentials: Credentials, keeper: GrantKeeper, clock: Clock) -> None:
        """Take the ports; the keeper reads clients from Vault."""
        self._cache = cache
        self._credentials = credentials
        self._keeper = keeper
        self._clock = clock
        self._reads = Budget(per_second=READS_PER_SECOND, burst=READS_PER_SECOND)
        self._by_account: dict[_Account, list[Key]] = {}
        self._collected_at = -math.inf

    async def take(self, report: UninstallReport) -> None:
        """Note a report in the status of each credential that it is about, if it is proven.

        Raises ApiServerUnavailable.
        """
        now = self._clock.now().replace(microsecond=0)
        for credential, source in self._concerned(report, now):
            with serving(credential.key.namespace):
                if await self._is_proven(report, credential, source):
                    await self._note(credential, report, now)

    def _concerned(self, report: UninstallReport, now: datetime) -> list[tuple[Credential, GrantWithClient]]:
        """Return the credentials of the reported account that no report has reached within the last minute."""
        found: list[tuple[Credential, GrantWithClient]] = []
        for key in self._of_account((report.company_id, report.user_id)):
            user = self._cache.grant_user(key)
            before = user.credential.status.uninstall_reported_at if user is not None else None
            if user is not None and (before is None or now >= before + SHORTEST_INTERVAL):
                found.append((user.credential, user.source))
        return found

    def _of_account(self, account: _Account) -> list[Key]:
        """Return the credentials of an account, by an index that is at most a second old."""
        if self._clock.monotonic() >= self._collected_at + INDEX_AGE:
            self._collected_at = self._clock.monotonic()
            self._by_account = {}
            for key in self._cache.keys:
                known = self._cache.credential(key)
                if known is not None and known.status.account is not None:
                    ids = (known.status.account.company_id, known.status.account.user_id)
                    self._by_account.setdefault(ids, []).append(key)
        return self._by_account.get(account, [])

    async def _is_proven(self, report: UninstallReport, credential: Credential, source: GrantWithClient) -> bool:
        """Return whether the sender knew the secret of the credential's client; False if there is no time to verify."""
        if not self._reads.take(credential.key.namespace, self._clock.monotonic()):
            return False
        try:
            client = await self._keeper.read_client(source)
        except Trouble:
            return False
        return client.client_id == report.client_id and report.is_proven_by(client.client_secret)

    async def _note(self, credential: Credential, report: UninstallReport, now: datetime) -> None:
        with suppress(ReportDenied):
            written = await self._credentials.patch_status(credential.key, {"uninstallReportedAt": format_time(now)})
            if written is not None:
                self._cache.keep_credential(written)
        message = (
            f"Pipedrive reported that user {report.user_id} of company {report.company_id} has uninstalled the app. "
            "The operator refreshes the grant to find out whether it is still valid"
        )
        event = Announcement(warning=True, reason=EventReason.UNINSTALL_REPORTED, message=message)
        with suppress(ReportDenied):
            await self._credentials.record_event(credential, event)
