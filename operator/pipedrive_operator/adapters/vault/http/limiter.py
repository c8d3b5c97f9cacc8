"""Limits the requests to one Vault server: few at a time, and none while the server is known to be down.

Every request is counted in the metrics here. What a response means is decided in errors.py.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from pipedrive_operator import metrics
from pipedrive_operator.adapters.vault.errors import unusable
from pipedrive_operator.adapters.vault.exchange import Request, Response, Send
from pipedrive_operator.adapters.vault.http.circuit_breaker import CircuitBreaker
from pipedrive_operator.core.values.errors import VaultUnavailable
from pipedrive_operator.ports import Clock

MOST_REQUESTS: Final = 32
"""How many requests are open at once: a restart with ten thousand credentials must not overload Vault."""


class RequestLimiter:
    """The limiter of one server."""

    def __init__(self, name: str, send: Send, clock: Clock, on_return: Callable[[], None] = lambda: None) -> None:
        """Limit `send`, which sends to the connection of that name; `on_return` is called when an outage ends."""
        self._on_return = on_return
        self._name = name
        self._send = send
        self._clock = clock
        self._slots = asyncio.Semaphore(MOST_REQUESTS)
        self._breaker = CircuitBreaker(f"vault {name}")

    async def send(self, request: Request) -> Response:
        """Send a request, and return the response of a working Vault, which may be a refusal.

        Raises:
            VaultUnavailable: no usable response now, or none a moment ago; it carries the time until the next try.
        """
        async with self._slots:
            # Only now: requests that waited for a slot must notice an outage that began meanwhile.
            admission = self._breaker.admit(self._clock.monotonic())
            try:
                with metrics.request("vault", request.operation) as counted:
                    response = await self._send(request)
                    counted.code = str(response.status)
                if (trouble := unusable(response, self._name)) is not None:
                    raise trouble
                if self._breaker.succeeded(admission):
                    self._on_return()
            except VaultUnavailable as trouble:
                raise self._breaker.failed(admission, trouble, self._clock.monotonic()) from trouble
            finally:
                self._breaker.abandoned(admission)
                metrics.show_vault(self._name, is_up=self._breaker.is_closed)
            return response
