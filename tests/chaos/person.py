"""Plays a person who consents again when a status asks for it, and one who requests refreshes all the time."""

import random
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from chaos.background import Background
from chaos.cell import Cell, CredentialState, Grant
from chaos.judgement import Complaint
from testbed.api_client import ApiError
from testbed.openbao_api import OpenBaoError
from testbed.pipedrive.tokens import digest_of

_LOOK_SECONDS: Final = 0.7
_ASK_SECONDS: Final = 0.1
_STALE_SECONDS: Final = 60.0
"""A status with the same message this long after a consent counts as a new complaint."""


class Person(Background):
    """Consents again when necessary, in a thread, for the duration of the block."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        """Take the deployments to look after."""
        super().__init__(cells)
        self.complaints: list[Complaint] = []
        self.uncertain: set[str] = set()
        """The paths of grants whose status reported `RefreshUncertain`."""
        self.seen: set[tuple[str, str]] = set()
        """The path of each grant, with the digest of each access token that was seen in its Secret."""

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            for cell in self._cells:
                with suppress(ApiError):
                    self._look_after(cell)

    def _look_after(self, cell: Cell) -> None:
        states = cell.look()
        looked_at = time.time()
        for grant in cell.grants.values():
            state = next((states[name] for _, name in grant.credentials if name in states), None)
            if state is not None:
                self._answer(cell, grant, state, looked_at)

    def _answer(self, cell: Cell, grant: Grant, state: CredentialState, looked_at: float) -> None:
        if "access_token" in state.secret:
            self.seen.add((grant.path, digest_of(state.secret["access_token"])))
        if state.authorized == "RefreshUncertain":
            self.uncertain.add(grant.path)
        if state.authorized != "ConsentRequired":
            return
        message = str(state.conditions["Authorized"]["message"])
        before = next((one.message for one in reversed(self.complaints) if one.path == grant.path), None)
        if message == before and time.time() - grant.consented_at < _STALE_SECONDS:
            return
        with suppress(OSError, OpenBaoError):  # Vault is unavailable: try again next time
            cell.consent(grant)
            self.complaints.append(Complaint(path=grant.path, message=message, at=looked_at))


class Impatience(Background):
    """Requests refreshes in a thread for the duration of the block, so that random moments are likely to hit one."""

    def __init__(self, cells: Sequence[Cell], chance: random.Random) -> None:
        """Take the deployments whose credentials to refresh."""
        super().__init__(cells)
        self._chance = chance

    def _run(self) -> None:
        while not self._ended.wait(_ASK_SECONDS / len(self._cells)):
            cell = self._chance.choice(self._cells)
            _, name = self._chance.choice(list(cell.grants.values())).credentials[0]
            with suppress(ApiError):
                cell.request_refresh(name, at=time.time())
