"""Sends `POST /oauth/token`, once per call, over a connection of its own. The response is read in `token_response`.

A refresh may make its refresh token unusable, and a code works once. So the one question about a failed call is
whether the request had begun to leave.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from pipedrive_operator import metrics
from pipedrive_operator.adapters.http.causes import BROKEN
from pipedrive_operator.adapters.http.response import Received
from pipedrive_operator.adapters.pipedrive.api_domain import AllowedApiDomains
from pipedrive_operator.adapters.pipedrive.connection import HEADERS, Connections
from pipedrive_operator.adapters.pipedrive.oauth2 import TokenRequest, code_request, refresh_request
from pipedrive_operator.adapters.pipedrive.quoted_error import quote_error
from pipedrive_operator.adapters.pipedrive.refusals import CODE_EXCHANGE, TOKEN_ENDPOINT, RefusalRule, refusal
from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.adapters.pipedrive.token_response import (
    is_readable,
    is_token_response,
    read_first_token_response,
    read_token_response,
)
from pipedrive_operator.config.settings import PipedriveSettings
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.consent import AFTER_UNKNOWN_OUTCOME
from pipedrive_operator.core.grant.grant import TokenResponse
from pipedrive_operator.core.grant.intent import ANSWER_TIMEOUTS
from pipedrive_operator.core.values.consent_reasons import OPEN_AGAIN
from pipedrive_operator.core.values.errors import ClientRejected, PipedriveUnavailable, RefreshUncertain, Trouble
from pipedrive_operator.core.values.secret_value import SecretValue

Fence = Callable[[], Awaitable[None]]
"""The last chance to keep a request from leaving: raises if it must not."""

_LEAVING: Final = "http11.send_request_headers.started"
_METHOD: Final = "POST"
_SHORTEST_SECRET: Final = 12
"""In characters. A shorter id is no secret, and hiding words such as `client` would make a message unreadable."""
_LAST_SHARE: Final = 0.1
"""The share of the time-out that is left to read a response that arrived while the process was stopped."""
_VISIBLE: Final = re.compile(r"[\x20-\x7e]+")
"""The characters of client ids and secrets (VSCHAR, RFC 6749 appendix A)."""


class Departure:
    """Calls the fence just before a request leaves, and remembers that it left. Fed by httpx's `trace` extension."""

    def __init__(self, fence: Fence) -> None:
        """Take the fence."""
        self._fence = fence
        self.begun = False

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take a trace event. The CONNECT to a proxy leaves before the request does, and is not the request."""
        if event == _LEAVING and info["request"].method == _METHOD.encode():
            await self._fence()
            self.begun = True


@dataclass(frozen=True, slots=True)
class _Purpose:
    """What a token request is for: how it is counted, and the words for its failures."""

    operation: str
    rules: tuple[RefusalRule, ...]
    lost: str
    """For people; `{}` stands for the cause."""


_REFRESH: Final = _Purpose(
    "refresh",
    TOKEN_ENDPOINT,
    "The refresh was sent, and the response was lost: {}. Whether Pipedrive carried it out is unknown. "
    f"{AFTER_UNKNOWN_OUTCOME}",
)
_EXCHANGE: Final = _Purpose(
    "exchange",
    CODE_EXCHANGE,
    "The authorization code was sent, and the response was lost: {}. A code works once, so it is not sent again: "
    f"{OPEN_AGAIN}",
)


class TokenEndpoint:
    """Refreshes grants, and exchanges authorization codes for grants."""

    def __init__(self, settings: PipedriveSettings, connections: Connections) -> None:
        """Use these connections; nothing is opened before the first refresh."""
        self._url = f"{str(settings.oauth_url).rstrip('/')}/oauth/token"
        self.timeout = settings.timeout
        """How long a call takes at most, until a request has left."""
        self._domains = AllowedApiDomains(settings.allowed_api_domains)
        self._connections = connections

    async def refresh(self, client: ClientCredentials, refresh_token: SecretValue, fence: Fence) -> TokenResponse:
        """Send a refresh, and return the complete and checked token response.

        Raises:
            ConsentRequired, ClientRejected, AccountNotOpen, RateLimited, PipedriveUnavailable, RefreshUncertain,
            TokenResponseUnusable: as `ports.Pipedrive` says.
            Whatever the fence raises, with nothing sent.
        """
        _check(client)
        response = await self._send(refresh_request(self._url, client, refresh_token), _REFRESH, fence)
        if is_token_response(response, refresh_token):
            return read_token_response(response, refresh_token, self._domains)
        raise refusal(TOKEN_ENDPOINT, response, quote_error(response, refresh_token, *_secrets_of(client)))

    async def exchange(
        self, client: ClientCredentials, code: SecretValue, redirect_uri: str, fence: Fence
    ) -> TokenResponse:
        """Send an authorization code, and return the complete and checked token response.

        Raises what `refresh` raises.
        """
        _check(client)
        response = await self._send(code_request(self._url, client, code, redirect_uri), _EXCHANGE, fence)
        if is_token_response(response, None):
            return read_first_token_response(response, self._domains)
        raise refusal(CODE_EXCHANGE, response, quote_error(response, code, client.client_secret))

    def _request(self, wanted: TokenRequest, departure: Departure) -> httpx.Request:
        headers = HEADERS | wanted.headers
        return httpx.Request(
            _METHOD, self._url, headers=headers, content=wanted.body, extensions={"trace": departure.trace}
        )

    async def _send(self, wanted: TokenRequest, purpose: _Purpose, fence: Fence) -> PipedriveResponse:
        departure = Departure(fence)
        request = self._request(wanted, departure)
        with metrics.request("pipedrive", purpose.operation) as counted:
            received = Received()
            try:
                # The connection closes after the time-out ended: a response that was read is never lost to it.
                async with await self._connections.fresh() as transport:
                    exchange = self._connections.exchange_once(transport, request, received)
                    response = await self._in_time(exchange, departure)
            except BROKEN as error:
                arrived = self._connections.arrived(received)
                if arrived is None or not is_readable(arrived):
                    why = self._connections.explain(error, request.url.host)
                    raise _no_response(why, purpose, departure) from error
                response = arrived
            counted.code = str(response.status)
        return response

    async def _in_time(
        self, exchange: Coroutine[Any, Any, PipedriveResponse], departure: Departure
    ) -> PipedriveResponse:
        """Wait for a response: for one time-out, and for several if the request has left by then.

        A late response is the only copy of the new tokens. A process that was stopped wakes up to a time-out, and maybe
        to a response as well.

        Raises TimeoutError, or one of `causes.BROKEN`.
        """
        asking, timeout = asyncio.ensure_future(exchange), self.timeout.total_seconds()
        late = (ANSWER_TIMEOUTS - 1) * timeout
        try:
            await asyncio.wait({asking}, timeout=timeout)
            for share in (1 - _LAST_SHARE, _LAST_SHARE):
                if departure.begun and not asking.done():
                    await asyncio.wait({asking}, timeout=late * share)
            if asking.done():
                return asking.result()
            raise TimeoutError
        finally:
            asking.cancel()
            await asyncio.wait({asking})


def _secrets_of(client: ClientCredentials) -> tuple[SecretValue, ...]:
    """Return what must not be quoted of a client. Its id may be a secret that was stored under the wrong key."""
    is_word = len(client.client_id) < _SHORTEST_SECRET
    return (client.client_secret,) if is_word else (client.client_secret, SecretValue(client.client_id))


def _check(client: ClientCredentials) -> None:
    for name, value in (("id", client.client_id), ("secret", client.client_secret.reveal())):
        if not _VISIBLE.fullmatch(value):
            message = (
                f"The app's client {name} in Vault is empty or holds characters that no client {name} has; nothing was "
                "sent. Correct it in Vault; no new consent is needed"
            )
            raise ClientRejected(message)


def _no_response(why: str, purpose: _Purpose, departure: Departure) -> Trouble:
    if departure.begun:
        return RefreshUncertain(purpose.lost.format(why))
    return PipedriveUnavailable(
        f"Pipedrive cannot be reached: {why}. Nothing was sent; the operator tries again after a pause"
    )
