"""The session of one Vault identity: logs in once for everyone who waits, renews the token, replaces a refused one.

A token is renewed at two thirds of its lifetime, whether or not anyone needs it at that moment. A token that has not
been used for an hour may expire. A token that Vault issued to this process is revoked when it is no longer needed.
Which auth method a login uses is decided elsewhere.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import Final

from pipedrive_operator.adapters.vault import requests
from pipedrive_operator.adapters.vault.auth.login import IssuedToken, Login, issued_token
from pipedrive_operator.adapters.vault.exchange import Request, Response, Send
from pipedrive_operator.adapters.vault.http.circuit_breaker import CircuitBreaker
from pipedrive_operator.core.values.errors import SourceMissing, Trouble, VaultDenied
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.ports import Clock

RENEW_AFTER: Final = 2 / 3
"""The share of its lifetime after which a token is renewed."""
SHORTEST_USE: Final = timedelta(seconds=1)
"""How long a token is used at least before it is renewed."""
REPLACEMENT_INTERVAL: Final = timedelta(minutes=1)
"""How often at most a refused request leads to a new login: most refusals are paths that the policy does not allow."""
KEPT_UNUSED: Final = timedelta(hours=1)
"""How long an unused token is kept alive: long enough for credentials that poll, and no longer."""


class Session:
    """One Vault identity, logged in to one server."""

    def __init__(self, login: Login, send: Send, clock: Clock) -> None:
        """Log in at the first use."""
        self._login = login
        self._send = send
        self._clock = clock
        self._lock = asyncio.Lock()
        self._login_breaker = CircuitBreaker("vault login")
        self._issued: IssuedToken | None = None
        self._first_ttl: timedelta | None = None
        self._obtained_at = 0.0
        self._replaceable_at = 0.0
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

    async def send(self, request: Request) -> Response:
        """Send a request with the session's token; if Vault refuses it, once more with a new token.

        Raises:
            VaultDenied, SourceMissing: Vault refuses the login, or refused it a moment ago.
            VaultUnavailable: no usable response.
        """
        token = await self.token()
        response = await self._send(replace(request, token=token))
        if response.status != HTTPStatus.FORBIDDEN:
            return response
        other = await self.replacement(token)
        return response if other is None else await self._send(replace(request, token=other))

    async def token(self) -> SecretValue:
        """Return a valid token, after a login or a renewal if necessary. Raises as `send` does."""
        self._used_at = self._now()
        if (current := self._current()) is not None:
            return current
        async with self._lock:
            return self._current() or await self._obtain()

    async def replacement(self, refused: SecretValue) -> SecretValue | None:
        """Return another token than the refused one; None if the token is not the likely cause of the refusal.

        Raises as `send` does.
        """
        async with self._lock:
            if self._issued is not None and self._issued.value == refused:
                if self._now() < self._replaceable_at:
                    return None
                self._replaceable_at = self._now() + REPLACEMENT_INTERVAL.total_seconds()
                replaced, self._issued = self._issued, None
                await self._revoke(replaced)
            current = self._current() or await self._obtain()
            return None if current == refused else current

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
        """Renew the token or log in.

        A refused login is remembered for a pause: everyone who waits for the lock would otherwise repeat it.
        """
        admission = self._login_breaker.admit(self._now())
        asked_at = self._now()
        try:
            issued = await self._renew() or await self._log_in()
            self._login_breaker.succeeded(admission)
        except (VaultDenied, SourceMissing) as refused:
            raise self._login_breaker.failed(admission, refused, self._now()) from refused
        finally:
            self._login_breaker.abandoned(admission)
        self._issued, self._obtained_at = issued, asked_at
        if self._renewals is None or self._renewals.done():
            self._renewals = asyncio.create_task(self._keep_alive(), name="renewal of a Vault token")
        return issued.value

    async def _keep_alive(self) -> None:
        """Renew the token whenever it is due; a failure is left to the next caller who needs the token."""
        with suppress(Trouble):
            while (issued := self._issued) is not None and issued.ttl is not None and not self.is_idle:
                due = self._obtained_at + _time_in_use(issued.ttl).total_seconds()
                if due > self._now():
                    await self._clock.sleep(due - self._now())
                    continue
                async with self._lock:
                    if self._current() is None:
                        await self._obtain()

    async def _revoke(self, issued: IssuedToken | None) -> None:
        """Revoke a token that was issued to this process; if Vault cannot be reached, the token expires by itself."""
        if issued is not None and issued.ours:
            with suppress(Trouble):
                await self._send(requests.revoke_token(issued.value))

    async def _log_in(self) -> IssuedToken:
        self._issued = None
        issued = await self._login.log_in()
        self._first_ttl = issued.ttl
        return issued

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
