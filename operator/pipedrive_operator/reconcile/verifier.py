"""Asks Pipedrive whose token it is, in tasks outside the workers, so that a slow Pipedrive delays no pass.

Each credential has one verification in progress at most. Its result goes into the credential's memory, and the
credential is woken. How many requests are open at once is limited where they are sent.
"""

import asyncio
from collections.abc import Callable

from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import PipedriveUnavailable, Trouble
from pipedrive_operator.ports import Pipedrive
from pipedrive_operator.reconcile.memories import Memories


class Verifier:
    """Verifies tokens."""

    def __init__(self, *, pipedrive: Pipedrive, memories: Memories, on_result: Callable[[Key], None]) -> None:
        """Take the port and the memories; `on_result` receives each credential whose verification has ended."""
        self._pipedrive = pipedrive
        self._memories = memories
        self._on_result = on_result
        self._tasks: dict[Key, tuple[Token, asyncio.Task[None]]] = {}

    def start(self, key: Key, token: Token, *, is_oauth2: bool) -> None:
        """Verify a token, unless that is in progress. A verification of an earlier token is cancelled."""
        current = self._tasks.get(key)
        if current is not None and current[0].value == token.value:
            return
        self.cancel(key)
        task = asyncio.create_task(self._run(key, token, is_oauth2=is_oauth2), name=f"verification of {key}")
        self._tasks[key] = token, task
        task.add_done_callback(lambda done: self._finish(key, token, done))

    def cancel(self, key: Key) -> None:
        """End the verification of a credential without a result."""
        if (current := self._tasks.pop(key, None)) is not None:
            current[1].cancel()

    def cancel_all(self) -> None:
        """End all verifications without a result."""
        for key in list(self._tasks):
            self.cancel(key)

    async def aclose(self) -> None:
        """End all verifications, and return once they have ended."""
        tasks = [task for _, task in self._tasks.values()]
        self.cancel_all()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key: Key, token: Token, *, is_oauth2: bool) -> None:
        try:
            if is_oauth2:
                account = await self._pipedrive.identify_access_token(token)
            else:
                account = await self._pipedrive.identify_api_token(token.value)
        except Trouble as trouble:
            self._memories.note_failed_verification(key, token, trouble)
        else:
            self._memories.note_verification(key, token, account)

    def _finish(self, key: Key, token: Token, task: asyncio.Task[None]) -> None:
        """Wake the credential; after an unexpected error, report it and verify again after a pause."""
        if self._tasks.get(key, (None, None))[1] is task:
            del self._tasks[key]
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            context = {"message": f"the verification of {key} failed unexpectedly", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
            trouble = PipedriveUnavailable("The verification failed unexpectedly: see the operator's log")
            self._memories.note_failed_verification(key, token, trouble)
        self._on_result(key)
