"""Asks `GET /users/me` whose token it is, over shared connections and within a rate that all credentials share.

Neither a namespace nor a host can occupy all connections: a region of Pipedrive that hangs delays no other region.
Responses are read in `verification_response`.
"""

import asyncio
from functools import lru_cache
from http import HTTPStatus
from typing import Final

import httpx

from pipedrive_operator import metrics
from pipedrive_operator.adapters.http.causes import BROKEN
from pipedrive_operator.adapters.pipedrive.connection import CONCURRENCY, HEADERS, Connections
from pipedrive_operator.adapters.pipedrive.quoted_error import quote_error
from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.adapters.pipedrive.verification_response import read_account
from pipedrive_operator.config.settings import PipedriveSettings
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import PipedriveUnavailable, TokenRejected
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.fairness.budget import Budget
from pipedrive_operator.fairness.slots import FairSlots
from pipedrive_operator.ports import Clock

_API: Final = "Pipedrive's API"
"""The one subject of the budget: all requests share it."""
_MOST_URLS: Final = 1000
"""How many parsed URLs are kept. API tokens share one, and the access tokens of a company another."""


class VerificationEndpoint:
    """Verifies tokens."""

    def __init__(self, settings: PipedriveSettings, connections: Connections, clock: Clock) -> None:
        """Use these connections; nothing is opened before the first request."""
        self._timeout = settings.timeout.total_seconds()
        self._connections = connections
        self._clock = clock
        rate = settings.requests_per_second
        self._budget = Budget(per_second=rate, burst=max(1.0, rate))
        self._slots = FairSlots(CONCURRENCY)

    async def verify(self, url: str, header: str, token: SecretValue, *, scheme: str = "") -> Account:
        """Return the account of a token, which is sent in a header.

        Raises:
            TokenRejected, AccountNotOpen, RateLimited, PipedriveUnavailable: as `ports.Pipedrive` says.
        """
        value = token.reveal()
        if not value.isascii() or not value.isprintable():
            # No header can carry such a value, and no token looks like it.
            raise TokenRejected(
                "The token in Vault holds characters that no token has; nothing was sent. Write the user's current "
                "API token to Vault; the operator refreshes an OAuth2 access token itself"
            )
        response = await self._ask(url, {header: f"{scheme}{value}"})
        return read_account(response, quote_error(response, token))

    async def probe(self, url: str) -> None:
        """Ask without a token, and expect Pipedrive's own refusal. Raises PipedriveUnavailable."""
        response = await self._ask(url, {})
        if response.status != HTTPStatus.UNAUTHORIZED or response.fields is None:
            message = (
                f"Something other than Pipedrive's API responds at {url} ({quote_error(response)}): check "
                "pipedrive.apiUrl, and the proxies in between"
            )
            raise PipedriveUnavailable(message)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.aclose()

    async def _ask(self, url: str, headers: dict[str, str]) -> PipedriveResponse:
        request = httpx.Request("GET", _parsed(url), headers=HEADERS | headers)
        async with self._slots.slot(f"host {request.url.host}"):
            if (wait := self._budget.reserve(_API, self._clock.monotonic())) > 0:
                await self._clock.sleep(wait)
            with metrics.request("pipedrive", "identify") as counted:
                response = await self._exchange(request)
                counted.code = str(response.status)
        return response

    async def _exchange(self, request: httpx.Request) -> PipedriveResponse:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._connections.exchange(request)
        except BROKEN as error:
            why = self._connections.explain(error, request.url.host)
            message = f"Pipedrive cannot be asked whose token it is: {why}. The operator asks again after a pause"
            raise PipedriveUnavailable(message) from error


@lru_cache(maxsize=_MOST_URLS)
def _parsed(url: str) -> httpx.URL:
    """Return a URL that httpx need not parse again: that takes as long as everything else about a request."""
    return httpx.URL(url)
