"""The session of one Vault identity: logs in once for everyone who waits, renews the token, replaces a refused one.

A token is renewed at two thirds of its lifetime, whether or not anyone needs it at that moment. A token that has not
been used for an hour may expire. A token that Vault issued to this process is revoked when it is no longer needed.
Which auth method a login uses is decided elsewhere.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import Final

from pipedrive_operator.adapters.vault import requests
from pipedrive_operator.adapters.vault.auth.login import IssuedToken, Login, issued_token
from pipedrive_operator.adapters.vault.errors import is_conflict
from pipedrive_operator.adapters.vault.http.circuit_breaker import CircuitBreaker
from pipedrive_operator.adapters.vault.request_and_response import Send, VaultRequest, VaultResponse
from pipedrive_operator.core.values.errors import SourceMissing, Trouble, VaultDenied
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.fairness.slots import EVERYBODY, serving
from pipedrive_operator.ports import Clock

RENEW_AFTER: Final = 2 / 3
"""The share of its lifetime after which a token is renewed."""
SHORTEST_USE: Final = timedelta(seconds=1)
"""How long a token is used at least before it is renewed."""
LOOKUP_INTERVAL: Final = timedelta(seconds=5)
"""At most once in this time, a refused request leads to a lookup of the token, which shows whether it is at fault."""
REPLACEMENT_INTERVAL: Final = timedelta(minutes=1)
"""At most once in this time, a valid token is replaced: a new login may bring other policies, but rarely does."""
KEPT_UNUSED: Final = timedelta(hours=1)
"""How long an unused token is kept alive: long enough for credentials that poll, and no longer."""

SETTLING_TIME: Final = timedelta(seconds=2)
"""How long after a login a server may lag behind the one that issued the token, to this process or to an agent."""
SETTLING_PAUSES: Final = (timedelta(milliseconds=100), timedelta(milliseconds=300), timedelta(milliseconds=600))
"""The pauses before a request that was refused in that time is sent again."""


class Session:
    """One Vault identity, logged in to one server."""

    def __init__(self, login: Login, send: Send, clock: Clock, *, serves: str = EVERYBODY) -> None:
        """Log in at the first use.

        Logins and renewals count for the namespace that the session `serves`, no matter who waits for the token.
        """
        self._login = login
        self._send = send
        self._serves = serves
        self._clock = clock
        self._lock = asyncio.Lock()
        self._login_breaker = CircuitBreaker("vault login")
        self._issued: IssuedToken | None = None
        self._first_ttl: timedelta | None = None
        self._obtained_at = 0.0
        self._lookup_at = 0.0
        self._replaceable_at = 0.0
        self._settled_at = 0.0
        self._used_at = clock.monotonic()
        self._renewals: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether the session has not been used for an hour, and nobody waits for it."""
        return not self._lock.locked() and self._now() >= self._used_at + KEPT_UNUSED.total_seconds()

    async def aclose(self) -> None:
        """Log out: revoke the token if Vault issued it to this process."""
        if self._renewals is not None:
            self._renewals.cancel()
        async with self._lock:  # a login in progress issues a token, too
            issued, self._issued = self._issued, None
            await self._revoke(issued)

    async def send(self, request: VaultRequest) -> VaultResponse:
        """Send a request with the session's token; if Vault refuses it, once more with a new token.

        Raises:
            VaultDenied, SourceMissing: Vault refuses the login, or refused it a moment ago.
            VaultUnavailable: no usable response.
        """
        token = await self.token()
        response = await self._send_after_login(replace(request, token=token))
        if response.status != HTTPStatus.FORBIDDEN:
            return response
        other = await self.replacement(token)
        return response if other is None else await self._send_after_login(replace(request, token=other))

    async def token(self) -> SecretValue:
        """Return a valid token, after a login or a renewal if necessary. Raises as `send` does."""
        self._used_at = self._now()
        if (current := self._current()) is not None:
            return current
        async with self._own():
            return self._current() or await self._obtain()

    async def replacement(self, refused: SecretValue) -> SecretValue | None:
        """Return another token than the refused one; None if the token is not the likely cause of the refusal.

        Raises as `send` does.
        """
        async with self._own():
            issued = self._issued
            if issued is not None and issued.value == refused:
                if self._now() < self._lookup_at:
                    return None
                self._lookup_at = self._now() + LOOKUP_INTERVAL.total_seconds()
                return await self._replace(issued)
            current = self._current() or await self._obtain()
            return None if current == refused else current

    async def _send_after_login(self, request: VaultRequest) -> VaultResponse:
        """Send a request. Shortly after a login, repeat a refusal: a server that lags may not know the token yet."""
        for pause in SETTLING_PAUSES:
            response = await self._send(request)
            if self._now() >= self._settled_at or not _may_be_unknown(response):
                return response
            await self._clock.sleep(pause.total_seconds())
        return await self._send(request)

    async def _replace(self, refused: IssuedToken) -> SecretValue | None:
        """Replace a refused token; None if the path is to blame, and the session keeps the token.

        The new login comes first: a path that the policy denies must not cost the other paths their token. A token
        that is still valid is replaced if the role has other policies now, or if another token was provided.
        """
        is_valid, asked_at = await self._is_valid(refused), self._now()
        if is_valid and asked_at < self._replaceable_at:
            return None
        self._replaceable_at = asked_at + REPLACEMENT_INTERVAL.total_seconds()
        try:
            issued = await self._log_in()
        except Trouble:
            if is_valid:
                return None
            self._issued = None
            raise
        if issued.value == refused.value:
            return None
        if is_valid and issued.ours and issued.policies == refused.policies:
            await self._revoke(issued)
            return None
        self._begin(issued, asked_at)
        await self._revoke(refused)
        return issued.value

    async def _is_valid(self, issued: IssuedToken) -> bool:
        """Return whether Vault still knows a token; false also if the token lacks the policy `default`."""
        return (await self._send(requests.look_up_token(issued.value))).status == HTTPStatus.OK

    @asynccontextmanager
    async def _own(self) -> AsyncIterator[None]:
        """Lock the session, and count the requests in the block for the namespace that it serves."""
        async with self._lock:
            with serving(self._serves):
                yield

    def _now(self) -> float:
        return self._clock.monotonic()

    def _current(self) -> SecretValue | None:
        """Return the token; None if there is none or it is due for renewal."""
        issued = self._issued
        if issued is None:
            return None
        if issued.ttl is not None and self._now() >= self._obtained_at + _time_in_use(issued.ttl).total_seconds():
            return None
        return issued.value

    async def _obtain(self) -> SecretValue:
        """Renew the token or log in."""
        asked_at = self._now()
        renewed = await self._renew()
        if renewed is not None:
            self._issued, self._obtained_at = renewed, asked_at
            return renewed.value
        self._issued = None
        issued = await self._log_in()
        self._begin(issued, asked_at)
        return issued.value

    async def _log_in(self) -> IssuedToken:
        """Log in. A refusal is remembered for a pause: everyone who waits for the lock would otherwise repeat it."""
        with self._login_breaker.attempt(self._now()) as admission:
            try:
                issued = await self._login.log_in()
            except (VaultDenied, SourceMissing) as refused:
                raise self._login_breaker.failed(admission, refused, self._now()) from refused
            self._login_breaker.succeeded(admission)
            return issued

    def _begin(self, issued: IssuedToken, asked_at: float) -> None:
        """Use the token of a new login, and keep it alive. Its lifetime counts from the request."""
        self._issued, self._first_ttl, self._obtained_at = issued, issued.ttl, asked_at
        self._settled_at = self._now() + SETTLING_TIME.total_seconds()
        if self._renewals is None or self._renewals.done():
            self._renewals = asyncio.create_task(self._keep_alive(), name="renewal of a Vault token")

    async def _keep_alive(self) -> None:
        """Renew the token whenever it is due; a failure is left to the next caller who needs the token."""
        with suppress(Trouble):
            while (issued := self._issued) is not None and issued.ttl is not None and not self.is_idle:
                due = self._obtained_at + _time_in_use(issued.ttl).total_seconds()
                if due > self._now():
                    await self._clock.sleep(due - self._now())
                    continue
                async with self._own():
                    if self._current() is None:
                        await self._obtain()

    async def _revoke(self, issued: IssuedToken | None) -> None:
        """Revoke a token that was issued to this process; if Vault cannot be reached, the token expires by itself."""
        if issued is not None and issued.ours:
            with suppress(Trouble):
                await self._send(requests.revoke_token(issued.value))

    async def _renew(self) -> IssuedToken | None:
        """Extend the token's lifetime; None if a new token is needed."""
        former = self._issued
        if former is None or former.ttl is None or not former.renewable:
            return None
        if self._now() >= self._obtained_at + former.ttl.total_seconds():
            return None
        renewed = issued_token(await self._send(requests.renew_token(former.value)))
        if renewed is None or renewed.ttl is None:  # a renewal of zero seconds gained nothing
            return None
        # Near its maximum lifetime a token is extended by less and less, and would be renewed ever more often.
        if self._first_ttl is not None and renewed.ttl <= self._first_ttl / 2:
            return None
        return replace(renewed, ours=former.ours)


def _time_in_use(ttl: timedelta) -> timedelta:
    return max(ttl * RENEW_AFTER, SHORTEST_USE)


def _may_be_unknown(response: VaultResponse) -> bool:
    """Return whether a server that does not know a new token yet may give this response."""
    return response.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN} and not is_conflict(response)
