"""Plays people who connect accounts: each creates a consent, accepts at Pipedrive, and hands the code to the operator.

It knows the operator's resource only, as a command on a laptop does. One in five people accepts for another company.
"""

import hashlib
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from chaos.background import Background
from chaos.cell import Cell, Grant
from chaos.evidence import Answer
from chaos.surroundings import Environment
from testbed.api_client import ApiError
from testbed.pipedrive.tokens import digest_of

_LOOK_SECONDS: Final = 0.15
_AT_ONCE: Final = 3
"""How many consents of one deployment are open at once."""
_STRANGERS: Final = 0.2
"""The share of consents that are accepted for another company."""
_OPEN: Final = frozenset({"", "Pending", "Waiting", "CodeReceived", "Verifying"})
"""The reasons after which the operator says more about an answer."""
_ENDED: Final = frozenset({"Invalid", "Expired", "Superseded", "CredentialChanged"})
"""The reasons after which the consent takes no answer any more."""
_TIMEOUT_SECONDS: Final = 10.0


@dataclass(kw_only=True)
class _Open:
    """A consent whose end was not seen yet."""

    cell: Cell
    grant: Grant
    name: str
    state: str
    belongs: bool
    code: str = ""
    is_answered: bool = False
    status: dict[str, object] = field(default_factory=dict)


class Consents(Background):
    """Connects accounts in a thread, for the duration of the block."""

    def __init__(self, environment: Environment, cells: Sequence[Cell], chance: random.Random) -> None:
        """Take the deployments. Half of their grants have no consents, so that their losses are not hidden by one."""
        super().__init__(cells)
        self._pipedrive_port = environment.pipedrive_port
        self._chance = chance
        self._grants = {cell.name: list(cell.grants.values())[::2] for cell in cells}
        self._open: list[_Open] = []
        self._is_creating = False
        self._made = 0
        self.answers: list[Answer] = []

    @contextmanager
    def created(self) -> Iterator[None]:
        """Create consents during the block; those that are open at its end go on."""
        self._is_creating = True
        try:
            yield
        finally:
            self._is_creating = False

    @property
    def unfinished(self) -> list[str]:
        """The consents that have not ended, with what their status reports."""
        return [f"{one.cell.name}/{one.name}: {one.status.get('conditions')}" for one in list(self._open)]

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            for cell in self._cells:
                with suppress(ApiError):
                    self._create(cell)
            for one in list(self._open):
                with suppress(ApiError, OSError, HTTPException):
                    self._go_on(one)

    def _create(self, cell: Cell) -> None:
        busy = {one.grant.path for one in self._open if one.cell is cell}
        free = [grant for grant in self._grants[cell.name] if grant.path not in busy]
        if not self._is_creating or len(busy) >= _AT_ONCE or not free:
            return
        self._made += 1
        name, grant = f"consent-{self._made:05}", self._chance.choice(free)
        state = f"{cell.name}:{name}:{secrets.token_urlsafe(32)}"
        digest = f"sha256:{hashlib.sha256(state.encode()).hexdigest()}"
        cell.create_consent(name, grant.credentials[0][1], state_digest=digest)
        belongs = self._chance.random() >= _STRANGERS
        self._open.append(_Open(cell=cell, grant=grant, name=name, state=state, belongs=belongs))

    def _go_on(self, one: _Open) -> None:
        """Take the next step of a consent, as far as its status allows one."""
        one.status = one.cell.consent_status(one.name)
        reason = _reason(one.status)
        url = str(one.status.get("url", ""))
        if reason in _ENDED or (one.is_answered and reason not in _OPEN and _is_about_the_answer(one.status)):
            self._end(one, reason)
        elif url and not one.code:
            one.code = self._accept(one, url)
        if one.code and not one.is_answered:  # the same answer again changes nothing
            one.cell.answer_consent(one.name, code=one.code, state=one.state)
            one.is_answered = True

    def _end(self, one: _Open, reason: str) -> None:
        self._open.remove(one)
        if one.code:
            answer = Answer(
                path=one.grant.path,
                name=f"{one.cell.name}/{one.name}",
                code=digest_of(one.code),
                belongs=one.belongs,
                reported=reason,
                ended=time.time(),
            )
            self.answers.append(answer)

    def _accept(self, one: _Open, url: str) -> str:
        """Accept on Pipedrive's page, and return the code. The way of a browser does not lead through the operator."""
        company_id, user_id = (one.grant.company_id, one.grant.user_id) if one.belongs else one.cell.stranger
        parts = urlsplit(url)
        connection = HTTPConnection("127.0.0.1", self._pipedrive_port, timeout=_TIMEOUT_SECONDS)
        form = urlencode({"decision": "accept", "user": f"{company_id}:{user_id}"})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        try:
            query = f"{parts.query}&{urlencode({'state': one.state})}"
            connection.request("POST", f"{parts.path}?{query}", body=form, headers=headers)
            location = connection.getresponse().headers["Location"] or ""
        finally:
            connection.close()
        return parse_qs(urlsplit(location).query)["code"][0]


def _reason(status: dict[str, object]) -> str:
    conditions = status.get("conditions")
    found = conditions if isinstance(conditions, list) else []
    return next((str(one["reason"]) for one in found if one["type"] == "Complete"), "")


def _is_about_the_answer(status: dict[str, object]) -> bool:
    """Return whether the status is about the answer, which made the second generation."""
    generation = status.get("observedGeneration")
    return isinstance(generation, int) and generation > 1
