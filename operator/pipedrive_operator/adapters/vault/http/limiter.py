"""What every request to a Vault server passes: few at once, none while the server is known to be down, all counted."""

import asyncio
from collections.abc import Callable
from typing import Final

from pipedrive_operator import metrics
from pipedrive_operator.adapters.vault.errors import unusable
from pipedrive_operator.adapters.vault.exchange import Answer, Request
from pipedrive_operator.adapters.vault.http.circuit_breaker import CircuitBreaker
from pipedrive_operator.adapters.vault.requests import Send
from pipedrive_operator.core.values.errors import VaultUnavailable
from pipedrive_operator.ports import Clock

MOST_REQUESTS: Final = 32
"""At once: a restart with ten thousand credentials must not be an attack."""


class Gate:
    """One server's gate."""

    def __init__(self, name: str, send: Send, clock: Clock, on_return: Callable[[], None] = lambda: None) -> None:
        """Guard `send`, which speaks for the connection of that name; `on_return` is told when an outage ends."""
        self._on_return = on_return
        self._name = name
        self._send = send
        self._clock = clock
        self._turns = asyncio.Semaphore(MOST_REQUESTS)
        self._breaker = CircuitBreaker(f"vault {name}")

    async def send(self, request: Request) -> Answer:
        """Send a request, and return an answer that a serving Vault gave, be it a refusal.

        Raises:
            VaultUnavailable: no usable answer now, or to another request just before; it tells when to come again.
        """
        async with self._turns:
            # Not before it is our turn: who queued behind an outage would try it all the same.
            admission = self._breaker.admit(self._clock.monotonic())
            try:
                answer = await self._counted(request)
                if (trouble := unusable(answer, self._name)) is not None:
                    raise trouble
                if self._breaker.succeeded(admission):
                    self._on_return()
            except VaultUnavailable as trouble:
                raise self._breaker.failed(admission, trouble, self._clock.monotonic()) from trouble
            finally:
                self._breaker.abandoned(admission)
                metrics.vault_answers(self._name, does=self._breaker.is_closed)
            return answer

    async def _counted(self, request: Request) -> Answer:
        with metrics.request("vault", request.operation) as counted:
            answer = await self._send(request)
            counted.code = str(answer.status)
            return answer
