"""What has happened so far, and what the judges ask about the world. The judges extend it, each with one topic.

Their letters are those of docs/refresh-protocol.md. The first broken promise is recorded, and raised later: an operator
would handle an exception as an error of its port. Nothing here knows how the operator works.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from fakes.pipedrive import Send
from simulation.copies import Copies
from simulation.early_refreshes import Copy, EarlyRefreshes
from simulation.history import History
from simulation.traces import Traces

LONGEST_CHECK = 6.0
"""In seconds: how long ago a process may have asked Vault when it sends a token."""


def name_of_task() -> str:
    """Return the name of the current task, as of a refresh."""
    task = asyncio.current_task()
    return task.get_name() if task is not None else ""


@dataclass
class Record:
    """The events that the promises are about."""

    history: History
    rotates: bool = True
    patience: float = float("inf")
    """For how many seconds the answer to a request must be awaited."""
    lag: float = 0.0
    """In seconds: how old a version may be that a read of Vault finds."""
    dead: set[str] = field(default_factory=set)
    """The processes that were killed."""
    stopping: dict[str, float] = field(default_factory=dict)
    """When each process was asked to stop."""
    broken: str | None = None
    sends: list[Send] = field(default_factory=list)
    copies: Copies = field(default_factory=Copies)
    """The refresh tokens that Vault has held, until a restore undid them."""
    stored_access: dict[str, float] = field(default_factory=dict)
    """When Vault first stored each access token."""
    held_since: dict[str, float] = field(default_factory=dict)
    """When Vault first held each refresh token as the grant, not as a candidate."""
    handed_over: set[str] = field(default_factory=set)
    """The refresh tokens of grants and of verified candidates that got into escrow."""
    first_kept: dict[str, float] = field(default_factory=dict)
    """When each of these was first kept in an escrow."""
    copied: set[str] = field(default_factory=set)
    """Every refresh token that Vault has ever held, as the grant or as a candidate, or an escrow."""
    acknowledged: dict[str, str] = field(default_factory=dict)
    """The last acknowledged intent of each holder."""
    used: set[tuple[str, str]] = field(default_factory=set)
    """The pairs of an intent and a token that was sent under it."""
    newest: str = ""
    """The refresh token that Vault holds."""
    held_until: dict[str, float] = field(default_factory=dict)
    """When Vault last held each refresh token, if it holds another one."""
    edits: list[tuple[float, Mapping[str, object]]] = field(default_factory=list)
    """What persons have written to Vault, restores included, and when."""
    replaced_at: dict[str, float] = field(default_factory=dict)
    """When a person or a consent last replaced each refresh token in Vault, and so removed its marks."""
    candidate: str | None = None
    """The refresh token of the candidate in Vault."""
    candidate_until: dict[str, float] = field(default_factory=dict)
    """When Vault last held each refresh token as a candidate, if it does not any more."""
    candidate_exchange: tuple[str, int] | None = None
    """The consent of the candidate in Vault, and the generation of its answer."""
    candidate_since: float = float("inf")
    """Since when Vault has held a candidate of that exchange."""
    holder: str = ""
    """The holder of the intent in Vault; empty if there is none."""
    newest_access: str = ""
    """The access token that Vault holds."""
    refused: dict[str, tuple[str, bool, float]] = field(default_factory=dict)
    """The last refused token of each holder, whether it was the newest one at that time, and the time."""
    newest_in: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    """When the newest access token of each line was issued that a Secret has held, and its expiry.

    A consent begins a line. The expiry alone does not show the order: it is by the clock of the process that refreshed.
    """
    access_until: dict[str, float] = field(default_factory=dict)
    """When Vault last held each access token, if it holds another one."""
    reissued: set[str] = field(default_factory=set)
    """The access tokens that a restore has brought back, or an old copy that was put back from escrow."""
    issued: dict[str, float] = field(default_factory=dict)
    """When each access token was issued."""
    lines: dict[str, str] = field(default_factory=dict)
    """The line of each token: the token of the consent that it descends from."""
    in_escrow: Callable[[str, float], Collection[Copy]] = lambda _by, _since: ()
    """Returns the copies that a process's own cluster has had in escrow since a moment: a reason to refresh early."""
    escrowed: Callable[[], Collection[str]] = lambda: ()
    """Returns the refresh tokens in the escrow of any cluster."""
    consented: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Which process has last written that a credential needs no consent any more, and when."""
    unwanted: set[tuple[str, str]] = field(default_factory=set)
    """The processes that could not drop a token from escrow, with the token, while they were allowed to drop it."""
    escrow_of: Callable[[str], Mapping[str, float]] = lambda _by: {}
    """Returns since when each refresh token of the right account is in the escrow of a process's own cluster."""
    early: dict[tuple[str, str | None], EarlyRefreshes] = field(default_factory=dict)
    """The refreshes of each line that each process has made early because of copies in escrow."""
    known_as_of: dict[str, float] = field(default_factory=dict)
    """The moment at which each process last knew what Vault held."""
    listed_as_of: dict[str, float] = field(default_factory=dict)
    """The moment at which each process last knew what was in escrow."""
    listed_in: dict[tuple[str, str], float] = field(default_factory=dict)
    """The same for each task of a process, by name: a refresh in progress uses only its own lists."""
    listed_before_intent: dict[str, float] = field(default_factory=dict)
    """When each process last knew what was in escrow before its last intent was acknowledged."""
    kept_since: Callable[[str, str], float | None] = lambda _by, _token: None
    """Returns since when a token is in the escrow of a process's own cluster."""
    unfinished: Callable[[str], str | None] = lambda _by: None
    """Returns what a process has sent and neither stored nor lost."""
    is_excusable: Callable[[str], bool] = lambda _by: True
    """Returns whether a process could not copy yet what only it holds."""
    ran: Callable[[str, float, float], float] = lambda _by, since, until: until - since
    """Returns for how many seconds a process ran between two moments: it was not frozen."""
    may_lose_lease: Callable[[str], bool] = lambda _by: True
    """Returns whether something has kept a process from renewing its Lease since it was asked to stop."""
    on_effect: Callable[[str, str], None] = lambda _what, _by: None
    """Is called with every effect and its process, before the process gets its answer."""
    writes: list[tuple[float, str]] = field(default_factory=list)
    """The times and descriptions of all writes, except reports that a process waits for another one's intent."""
    intents: list[float] = field(default_factory=list)
    """When each intent was written."""
    secrets: set[str] = field(default_factory=set)
    """Every token that was ever issued."""
    is_right: Callable[[str], bool] = lambda _token: True
    """Returns whether a refresh token belongs to the account that the credentials are for."""
    promotions: dict[tuple[str, int], tuple[str | None, float]] = field(default_factory=dict)
    """The line of the grant that each exchange brought, and when it got into Vault."""
    meant: dict[str, str | None] = field(default_factory=dict)
    """The line that each code is meant to replace: that of the grant which Vault held when the code was sent."""
    replaced: set[str] = field(default_factory=set)
    """The refresh tokens that a consent has replaced in Vault, or that lost against one that is alive."""
    restores: list[tuple[float, Mapping[str, object]]] = field(default_factory=list)
    """When Vault was restored, and to which values: that may have removed the intent of a request in flight."""
    named: set[str] = field(default_factory=set)
    """The refresh tokens that the document in Vault names as dropped or spent."""
    traces: Traces = field(default_factory=Traces)
    """The lines that have gone from Vault."""
    is_alive: Callable[[str], bool] = lambda _token: True
    """Returns whether Pipedrive accepts a refresh token."""

    def descendants(self, token: str) -> set[str]:
        """Return what descends from the same consent as a token."""
        return {one for one in self.lines if self.line(one) == self.line(token)}

    def line(self, token: str | None) -> str | None:
        """Return the line of a token; its own name if it is that of a consent."""
        return self.lines.get(token, token) if token is not None else None

    def expect(self, holds: bool, promise: str) -> None:  # noqa: FBT001  as assert reads
        """Record a promise that does not hold, if it is the first one."""
        if not holds and self.broken is None:
            self.broken = promise
            self.history.note("broken", promise)
