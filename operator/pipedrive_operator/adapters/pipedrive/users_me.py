"""`GET /users/me` over the shared connections, at a pace that all credentials share. Answers are read elsewhere."""

import asyncio
from http import HTTPStatus

import httpx

from pipedrive_operator import metrics
from pipedrive_operator.adapters.http.causes import BROKEN
from pipedrive_operator.adapters.pipedrive.answer import HttpAnswer
from pipedrive_operator.adapters.pipedrive.connection import CONCURRENCY, HEADERS, Connections
from pipedrive_operator.adapters.pipedrive.identity import read_account, token_rejected, unusable
from pipedrive_operator.adapters.pipedrive.limiter import RestartPacing
from pipedrive_operator.adapters.pipedrive.quotation import quote
from pipedrive_operator.config.settings import PipedriveSettings
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import PipedriveUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.ports import Clock


class UsersMe:
    """Asks who a token is."""

    def __init__(self, settings: PipedriveSettings, connections: Connections, clock: Clock) -> None:
        """Take the connections to use."""
        self._timeout = settings.timeout.total_seconds()
        self._connections = connections
        self._clock = clock
        self._pace = RestartPacing(settings.requests_per_second)
        self._slots = asyncio.Semaphore(CONCURRENCY)

    async def identify(self, url: str, header: str, token: SecretValue, *, scheme: str = "") -> Account:
        """Return the account of a token that is sent in a header.

        Raises:
            TokenRejected, AccountNotOpen, RateLimited, PipedriveUnavailable: as `ports.Pipedrive` says.
        """
        value = token.reveal()
        if not value.isascii() or not value.isprintable():
            # Such a value cannot be put into a header, and no token looks like it.
            raise token_rejected("it holds characters that no token has")
        answer = await self._ask(url, {header: f"{scheme}{value}"})
        return read_account(answer, quote(answer, token))

    async def probe(self, url: str) -> None:
        """Ask without a token, and expect to be refused. Raises PipedriveUnavailable."""
        answer = await self._ask(url, {})
        if answer.status != HTTPStatus.UNAUTHORIZED:
            raise unusable(answer, quote(answer))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.aclose()

    async def _ask(self, url: str, headers: dict[str, str]) -> HttpAnswer:
        request = httpx.Request("GET", url, headers=HEADERS | headers)
        async with self._slots:
            if (wait := self._pace.reserve(self._clock.monotonic())) > 0:
                await self._clock.sleep(wait)
            with metrics.request("pipedrive", "identify") as counted:
                answer = await self._exchange(request)
                counted.code = str(answer.status)
        return answer

    async def _exchange(self, request: httpx.Request) -> HttpAnswer:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._connections.exchange(request)
        except BROKEN as error:
            why = self._connections.explain(error, request.url.host)
            message = f"Pipedrive cannot be asked whose token it is: {why}. It is asked again after a pause"
            raise PipedriveUnavailable(message) from error
