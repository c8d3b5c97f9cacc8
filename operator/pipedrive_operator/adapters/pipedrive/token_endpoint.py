"""`POST /oauth/token`, once for each call, over a connection of its own. What it answers is read elsewhere.

A refresh may spend its token for good. So the one thing to know of a call that broke is whether it had begun to leave.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, Final

import httpx

from pipedrive_operator import metrics
from pipedrive_operator.adapters.http.causes import BROKEN
from pipedrive_operator.adapters.pipedrive.answer import HttpAnswer
from pipedrive_operator.adapters.pipedrive.api_domain import AllowedApiDomains
from pipedrive_operator.adapters.pipedrive.connection import HEADERS, Connections
from pipedrive_operator.adapters.pipedrive.oauth2 import refresh_request
from pipedrive_operator.adapters.pipedrive.quotation import quote
from pipedrive_operator.adapters.pipedrive.refresh_refusal import refresh_refusal
from pipedrive_operator.adapters.pipedrive.token_answer import read_token_answer
from pipedrive_operator.config.settings import PipedriveSettings
from pipedrive_operator.core.grant.grant import ClientCredentials, TokenResponse
from pipedrive_operator.core.values.errors import ClientRejected, PipedriveUnavailable, RefreshUncertain, Trouble
from pipedrive_operator.core.values.secret_value import SecretValue

Fence = Callable[[], None]
"""The last chance to keep a request from leaving: raises if it must not."""

_LEAVING: Final = "http11.send_request_headers.started"
_METHOD: Final = "POST"
_LAST_SHARE: Final = 0.1
"""Of the time-out: in which an answer is read that came while the process was stopped."""
_VISIBLE: Final = re.compile(r"[\x20-\x7e]+")
"""The characters of client ids and secrets (VSCHAR, RFC 6749 appendix A)."""


class Departure:
    """Learns from httpx's `trace` extension that the request begins to leave, and asks the fence just before."""

    def __init__(self, fence: Fence) -> None:
        """Take the fence."""
        self._fence = fence
        self.begun = False

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take a trace event; a CONNECT to a proxy leaves before the request does, and is not it."""
        if event == _LEAVING and info["request"].method == _METHOD.encode():
            self._fence()
            self.begun = True


class TokenEndpoint:
    """Spends refresh tokens."""

    def __init__(self, settings: PipedriveSettings, connections: Connections) -> None:
        """Take the way to it."""
        self._url = f"{str(settings.oauth_url).rstrip('/')}/oauth/token"
        self._timeout = settings.timeout.total_seconds()
        self._domains = AllowedApiDomains(settings.allowed_api_domains)
        self._connections = connections

    async def refresh(self, client: ClientCredentials, refresh_token: SecretValue, fence: Fence) -> TokenResponse:
        """Send a refresh, and return the checked answer.

        Raises:
            ConsentRequired, ClientRejected, AccountNotOpen, RateLimited, PipedriveUnavailable, RefreshUncertain:
                as `ports.Pipedrive` says; whatever the fence raises, with nothing sent.
        """
        _check(client)
        departure = Departure(fence)
        answer = await self._send(self._request(client, refresh_token, departure), departure)
        if answer.status == HTTPStatus.OK:
            return read_token_answer(answer.fields, self._domains)
        raise refresh_refusal(answer, quote(answer, refresh_token, client.client_secret))

    def _request(self, client: ClientCredentials, refresh_token: SecretValue, departure: Departure) -> httpx.Request:
        wanted = refresh_request(self._url, client, refresh_token)
        headers = HEADERS | wanted.headers
        return httpx.Request(
            _METHOD, self._url, headers=headers, content=wanted.body, extensions={"trace": departure.trace}
        )

    async def _send(self, request: httpx.Request, departure: Departure) -> HttpAnswer:
        with metrics.request("pipedrive", "refresh") as counted:
            try:
                # Closing comes after the time-out: an answer that was read is never given up for it.
                async with await self._connections.fresh() as transport:
                    answer = await self._in_time(self._connections.exchange_once(transport, request))
            except BROKEN as error:
                raise _unanswered(self._connections.explain(error, request.url.host), departure) from error
            counted.code = str(answer.status)
        return answer

    async def _in_time(self, exchange: Coroutine[Any, Any, HttpAnswer]) -> HttpAnswer:
        """Wait for an answer: a process that was stopped wakes up to a time-out, and perhaps to an answer too.

        Raises TimeoutError, or one of BROKEN.
        """
        asking = asyncio.ensure_future(exchange)
        try:
            for share in (1 - _LAST_SHARE, _LAST_SHARE):
                await asyncio.wait({asking}, timeout=self._timeout * share)
                if asking.done():
                    return asking.result()
            raise TimeoutError
        finally:
            asking.cancel()
            await asyncio.wait({asking})


def _check(client: ClientCredentials) -> None:
    for name, value in (("id", client.client_id), ("secret", client.client_secret.reveal())):
        if not _VISIBLE.fullmatch(value):
            message = (
                f"The app's client {name} in Vault is empty or holds characters that none has; nothing was sent. "
                "Correct it in Vault; no new consent is needed"
            )
            raise ClientRejected(message)


def _unanswered(why: str, departure: Departure) -> Trouble:
    if departure.begun:
        return RefreshUncertain(
            f"The refresh was sent, and its answer was lost: {why}. Whether Pipedrive carried it out is not known; it "
            "is tried again after a pause. Should the refresh token then be refused, consent again"
        )
    return PipedriveUnavailable(
        f"Pipedrive cannot be reached: {why}. Nothing was sent; it is tried again after a pause"
    )
