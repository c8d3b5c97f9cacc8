"""Keeps an identity's token alive: one login for everybody who waits, renewed while it is used, replaced when refused.

It is renewed at two thirds of its lifetime, whether or not somebody asks just then. One that nobody has used for an
hour may expire. What was issued to us is revoked when it is no longer wanted.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

from pipedrive_operator.adapters.vault.auth.login import IssuedToken, Login, issued_token
from pipedrive_operator.adapters.vault.http.circuit_breaker import CircuitBreaker
from pipedrive_operator.adapters.vault.requests import VaultRequests
from pipedrive_operator.core.values.errors import Trouble, VaultDenied
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.ports import Clock

RENEW_AFTER: Final = 2 / 3
"""Of a token's lifetime."""
SHORTEST_USE: Final = timedelta(seconds=1)
"""How long at least a token is used before it is renewed."""
REPLACEMENT_INTERVAL: Final = timedelta(minutes=1)
"""How often at most a refused request is taken for a dead token: most are paths that the policy does not allow."""

KEPT_UNUSED: Final = timedelta(hours=1)
"""How long a token that nobody asks for is kept alive: for as long as credentials come back to poll, and no longer."""


class Identity:
    """Somebody who is logged in to one server."""

    def __init__(self, login: Login, requests: VaultRequests, clock: Clock) -> None:
        """Log in at the first use."""
        self._login = login
        self._requests = requests
        self._clock = clock
        self._lock = asyncio.Lock()
        self._denials = CircuitBreaker("vault login")
        self._issued: IssuedToken | None = None
        self._first_ttl: timedelta | None = None
        self._obtained_at = 0.0
        self._replaceable_at = 0.0
        self._used_at = clock.monotonic()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody has used it for long, and nobody waits for it."""
        return not self._lock.locked() and self._now() >= self._used_at + KEPT_UNUSED.total_seconds()

    async def aclose(self) -> None:
        """Log out: revoke the token, if it is ours."""
        if self._keeper is not None:
            self._keeper.cancel()
        async with self._lock:  # a login that is under way issues a token, too
            issued, self._issued = self._issued, None
            await self._revoke(issued)

    async def token(self) -> SecretValue:
        """Return a token that lives; log in or renew where there is none.

        Raises:
            VaultDenied, VaultUnavailable: the login fails, or one failed just before.
        """
        self._used_at = self._now()
        if (current := self._fresh()) is not None:
            return current
        async with self._lock:
            return self._fresh() or await self._obtain()

    async def replacement(self, refused: SecretValue) -> SecretValue | None:
        """Return another token than the one that Vault just refused a request with; None where that was not its fault.

        Raises as `token` does.
        """
        async with self._lock:
            if self._issued is not None and self._issued.value == refused:
                if self._now() < self._replaceable_at:
                    return None
                self._replaceable_at = self._now() + REPLACEMENT_INTERVAL.total_seconds()
                replaced, self._issued = self._issued, None
                await self._revoke(replaced)
            current = self._fresh() or await self._obtain()
            return None if current == refused else current

    def _now(self) -> float:
        return self._clock.monotonic()

    def _fresh(self) -> SecretValue | None:
        """Return the token, unless there is none or it is due for renewal."""
        issued = self._issued
        if issued is None:
            return None
        if issued.ttl is not None and self._now() >= self._obtained_at + _use(issued.ttl).total_seconds():
            return None
        return issued.value

    async def _obtain(self) -> SecretValue:
        """Renew the token or log in. A refusal is remembered for a pause, or who waits would repeat it one by one."""
        admission = self._denials.admit(self._now())
        asked_at = self._now()
        try:
            issued = await self._renewed() or await self._logged_in()
            self._denials.succeeded(admission)
        except VaultDenied as denied:
            raise self._denials.failed(admission, denied, self._now()) from denied
        finally:
            self._denials.abandoned(admission)
        self._issued, self._obtained_at = issued, asked_at
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep_alive(), name="renewal of a Vault token")
        return issued.value

    async def _keep_alive(self) -> None:
        """Renew the token whenever it is due; a failure is left to whoever next asks for it."""
        with suppress(Trouble):
            while (issued := self._issued) is not None and issued.ttl is not None and not self.is_abandoned:
                due = self._obtained_at + _use(issued.ttl).total_seconds()
                if due > self._now():
                    await self._clock.sleep(due - self._now())
                    continue
                async with self._lock:
                    if self._fresh() is None:
                        await self._obtain()

    async def _revoke(self, issued: IssuedToken | None) -> None:
        """Let a token die that was issued to us; one that cannot be reached dies by its age."""
        if issued is not None and issued.ours:
            with suppress(Trouble):
                await self._requests.revoke(issued.value)

    async def _logged_in(self) -> IssuedToken:
        self._issued = None
        issued = await self._login.log_in()
        self._first_ttl = issued.ttl
        return issued

    async def _renewed(self) -> IssuedToken | None:
        """Prolong the token; None where it has to be another one."""
        held = self._issued
        if held is None or held.ttl is None or not held.renewable:
            return None
        if self._now() >= self._obtained_at + held.ttl.total_seconds():
            return None
        renewed = issued_token(await self._requests.renew(held.value))
        if renewed is None:
            return None
        renewed = replace(renewed, ours=held.ours)
        if renewed.ttl is None or self._first_ttl is None:
            return renewed
        # Near its maximal lifetime a token is prolonged by less and less, and would be renewed ever more often.
        return renewed if renewed.ttl > self._first_ttl / 2 else None


def _use(ttl: timedelta) -> timedelta:
    return max(ttl * RENEW_AFTER, SHORTEST_USE)
