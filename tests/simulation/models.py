"""The fakes under observation: their effects are added to the history and checked against the promises."""

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from fakes.cluster import FakeCluster
from fakes.escrow import escrowed
from fakes.pipedrive import FakePipedrive, Send
from fakes.vault import FakeVault
from pipedrive_operator.adapters.kubernetes.escrow import unseal
from pipedrive_operator.core.grant.candidate import read_candidate
from pipedrive_operator.core.grant.document import Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.grant import Grant, without_former_grant
from pipedrive_operator.core.grant.keys import CANDIDATE
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.errors import ApiServerUnavailable, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from simulation.early_refreshes import Copy
from simulation.faulty_network import Weather
from simulation.history import History, who
from simulation.loop import CURRENT, Process
from simulation.promises import Promises
from simulation.sending import LONGEST_DECISION
from support.builders import GRANT_LOCATION

CLIENT_SECRET = "hush"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LONGEST_LAG = 5.0
"""In seconds: how old a version may be that a standby of Vault serves."""
ASKED: contextvars.ContextVar[tuple[float, float]] = contextvars.ContextVar("asked")
"""When a document's writer asked for its write, and the moment at which it last knew then what Vault held."""
LATEST_WRITE = 20.0
"""In seconds: how long after its writer has given up a write may take effect."""


@dataclass
class SimulatedClock:
    """The time of the simulation; a process may have a wall clock that is wrong by a skew."""

    skew: timedelta = timedelta(0)
    steps: list[tuple[float, timedelta]] = field(default_factory=list)
    """When it was turned, and the skew that it had until then."""

    def turn(self, by: timedelta) -> None:
        """Turn the wall clock, forwards or backwards."""
        self.steps.append((self.monotonic(), self.skew))
        self.skew += by

    def skews(self, seconds: float) -> list[timedelta]:
        """Return the skews that it has had in the last seconds."""
        return [self.skew, *(skew for until, skew in self.steps if until >= self.monotonic() - seconds)]

    def now(self) -> datetime:
        """Return what the wall clock shows."""
        return EPOCH + timedelta(seconds=self.monotonic()) + self.skew

    def monotonic(self) -> float:
        """Return the seconds."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


@dataclass(kw_only=True)
class VaultModel(FakeVault):
    """A Vault that can be restored from a backup."""

    network: Weather
    history: History
    promises: Promises
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    delays_writes: float = 0.0
    """How often a write takes effect after its writer has given up, as a likelihood from 0 to 1."""
    lags: float = 0.0
    """How often a read gets an old version, as a likelihood from 0 to 1."""
    versions: dict[VaultLocation, list[tuple[float, Document]]] = field(default_factory=dict)
    """Each version of each document, and when it was written."""
    written: list[tuple[float, str]] = field(default_factory=list)
    """When the grant was written, and by whom."""
    rewound_at: float = float("-inf")
    """When a restore last brought version numbers back."""

    def put(self, location: VaultLocation, **values: object) -> None:
        """Write a version, and note it if it is a grant."""
        before = self.documents.get(location)
        if before is not None and "refresh_token" in values:
            self._check_number(before, values)
        super().put(location, **values)
        self._remember(location)
        if "refresh_token" in values:
            self.written.append((self.clock.monotonic(), who()))
            exchange = _exchange(values)
            is_promoted = before is not None and exchange is not None and exchange != _exchange(before.values)
            if before is not None and exchange is not None and is_promoted:
                over = str(before.values["refresh_token"])
                self.promises.promoted(exchange, str(values["refresh_token"]), over=over)
            candidate = read_candidate(self.documents[location])
            self.promises.stored(values, by=who(), candidate=candidate, is_meant=is_promoted)
            self.history.note("vault", f"version {self.documents[location].version}: {_summary(values)}")

    def edit(self, location: VaultLocation, **values: object) -> None:
        """Write a version as a person, who may strike in the middle of what a process does."""
        contextvars.Context().run(self.put, location, **values)

    def _check_number(self, held: Document, values: Mapping[str, object]) -> None:
        """Check a write over a version that its writer took for another one, because numbers had returned."""
        asked, knew = ASKED.get((0.0, self.rewound_at))
        if knew < self.rewound_at:
            candidate = read_candidate(held)
            beside = candidate.refresh_token.reveal() if candidate is not None else None
            lost = {token for token in (held.values["refresh_token"], beside) if token is not None}
            self.promises.overwritten(
                {str(token) for token in lost - {values["refresh_token"]}}, by=who(), asked=asked, knew=knew
            )

    def _remember(self, location: VaultLocation) -> None:
        self.versions.setdefault(location, []).append((self.clock.monotonic(), self.documents[location]))

    def served(self, location: VaultLocation) -> tuple[Document | None, float]:
        """Return what a read finds: a standby may serve what Vault held some seconds ago."""
        if not self.network.strikes(self.lags):
            return super().served(location)
        as_of = self.clock.monotonic() - self.network.chance.uniform(0, LONGEST_LAG)
        return next((held for at, held in reversed(self.versions.get(location, [])) if at <= as_of), None), as_of

    async def write(
        self, location: VaultLocation, values: Mapping[str, object], identity: VaultIdentity, *, cas: int
    ) -> int:
        """Write by check-and-set, or give up on a write that takes effect later."""
        ASKED.set((self.clock.monotonic(), self.promises.known_as_of.get(who(), 0.0)))
        if not self.network.strikes(self.delays_writes):
            return await super().write(location, values, identity, cas=cas)
        self._write_late(location, values, cas)
        await self.network.pass_time()
        raise VaultUnavailable("no answer in time")

    def _write_late(self, location: VaultLocation, values: Mapping[str, object], cas: int) -> None:
        """Write some seconds later if the version holds then, even if the writer has died."""
        context = contextvars.Context()
        context.run(CURRENT.set, Process(who()))
        context.run(ASKED.set, ASKED.get())

        def write() -> None:
            held = self.documents.get(location)
            if cas == (held.version if held else 0):
                self.history.note("vault", "stores a late write")
                self.put(location, **values)

        later = self.network.chance.uniform(0, LATEST_WRITE)
        asyncio.get_running_loop().call_later(later, write, context=context)

    def restore(self, location: VaultLocation) -> None:
        """Write what a document was at first, as a person does after a disaster: version numbers continue."""
        self._put_back(replace(self.versions[location][0][1], version=self.documents[location].version + 1))

    def rewind(self, location: VaultLocation) -> None:
        """Return to the version before the newest one, with its number, as a restored storage of Vault does."""
        self.rewound_at = self.clock.monotonic()
        self._put_back(self.versions[location][-2][1])

    def _put_back(self, document: Document) -> None:
        self.documents[document.location] = document
        self._remember(document.location)
        self.promises.restored(document.values, by=who(), candidate=read_candidate(document))
        self.history.note("vault", f"is restored to version {document.version}: {_summary(document.values)}")

    def acknowledged(self, values: Mapping[str, object], *, as_of: float, is_newest: bool) -> None:
        """Note what a process knows about the grant."""
        if "refresh_token" in values:
            self.promises.knows(by=who(), as_of=as_of)
        if is_newest:  # otherwise it belongs to a former intent
            self.promises.acknowledges(values, by=who())


def _exchange(values: Mapping[str, object]) -> tuple[str, int] | None:
    """Return the exchange that a grant is from; keys that belong to a former refresh token do not count."""
    kept = without_former_grant(values)
    return (str(kept["consent_uid"]), int(str(kept.get("consent_generation", 0)))) if "consent_uid" in kept else None


def _summary(values: Mapping[str, object]) -> str:
    keys = ("refresh_token", "refresh_id", "refresh_unanswered", "consent_uid")
    candidate = " with a candidate" if CANDIDATE in values else ""
    return " ".join(f"{key}={values[key]}" for key in keys if key in values) + candidate


@dataclass(kw_only=True)
class PipedriveModel(FakePipedrive):
    """A Pipedrive whose access tokens live for minutes."""

    network: Weather
    history: History
    promises: Promises
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    lifetime: timedelta = timedelta(minutes=4)
    ended: set[str] = field(default_factory=set)
    """The refresh tokens that ended because a token before them was sent again."""
    stated_expiries: dict[str, datetime] = field(default_factory=dict)
    """When each access token expires as its holder knows: counted from the request, by the holder's own clock."""
    detects_reuse: bool = False
    """Whether a spent refresh token that is sent again ends its whole line (RFC 9700, section 4.14.2)."""
    clock_of: Callable[[str], SimulatedClock] = lambda _by: SimulatedClock()
    """Returns the clock of a process."""
    silence: Callable[[], Exception] | None = None
    """Returns the answer to the question whose the result of a consent is, while Pipedrive does not decide."""

    def consent(self) -> str:
        """Give a person a new grant."""
        token = super().consent()
        self.promises.secrets.add(token)
        return token

    def withholds(self, token: str) -> Exception | None:
        """Return the answer about what descends from a code, while Pipedrive does not decide about it."""
        if self.silence is None or not self.promises.lines.get(token, "").startswith("code-"):
            return None
        self.history.note("pipedrive", f"does not say whose {token} is")
        return self.silence()

    def leaves(self, send: Send) -> None:
        """Note who sends it, and whether it was due."""
        send.by = who()
        self.history.note("pipedrive", f"is sent {send.token}")
        self.promises.sent(send, left=self._left(send), due=self.lifetime * 2 / 3)

    def _left(self, send: Send) -> timedelta | None:
        """Return for how long the access token in Vault is valid, as its sender may know: by its clock, or by a 401."""
        access_token = self.promises.newest_access
        if access_token not in self.expiries:
            return None
        ahead = max(self.clock_of(send.by).skews(LONGEST_DECISION))
        return min(self.expiries[access_token], self.stated_expiries[access_token] - ahead) - self.clock.now()

    def refuses(self, send: Send) -> None:
        """Note the refusal, and take it for a theft if the token is spent."""
        self.history.note("pipedrive", f"refuses {send.token}", by=send.by)
        self.promises.refuses(send, is_newest=send.token == self.promises.newest)
        if self.detects_reuse and send.token in self.spent:
            for token in self.alive & self.promises.descendants(send.token):
                self.history.lose(token, "ended, because a token before it was sent again", token)
                self.alive.discard(token)
                self.ended.add(token)

    def spends(self, send: Send, access_token: str) -> None:
        """Note the exchange."""
        self.promises.spent(send, access_token)
        waited = self.clock.monotonic() - send.began
        behind = min(self.clock_of(send.by).skews(waited + LONGEST_DECISION))
        self.stated_expiries[access_token] = self.expiries[access_token] - timedelta(seconds=waited) + behind
        self.promises.secrets |= {str(send.successor), access_token}
        self.history.note("pipedrive", f"spends {send.token} for {send.successor}", by=send.by)

    def loses(self, send: Send) -> None:
        """Excuse the loss of a grant."""
        if self.rotates or send.is_code:
            is_late = send.delivered is not None and send.delivered - send.began > self.call_timeout.total_seconds()
            kind = "Pipedrive took longer than four time-outs" if is_late else "an answer was lost"
            self.history.lose(send.successor, kind, f"the answer to {send.token}")


@dataclass(kw_only=True)
class ClusterModel(FakeCluster):
    """A cluster with a name."""

    name: str
    network: Weather
    history: History
    promises: Promises
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    escrowed_at: dict[str, float] = field(default_factory=dict)
    """When each refresh token was last kept in escrow."""
    made_at: dict[str, float] = field(default_factory=dict)
    """When each Secret of the escrow was made; one that was dropped may be made again under the same name."""
    dropped_at: dict[Copy, float] = field(default_factory=dict)
    """When each copy was dropped."""
    on_kept: Callable[[], None] = lambda: None
    """Is called when a grant got into escrow."""
    hindered: str = ""
    """The process that cannot read the escrow, or only slowly; empty if there is none."""
    loses_reads: float = 0.0
    """How often each way of its reads fails, as a likelihood from 0 to 1."""
    slowest_read: float = 0.0
    """The longest delay of each way, in seconds."""

    def writer(self) -> str:
        """Return which process writes."""
        return who()

    def publishes(self, key: Key, body: Mapping[str, Any]) -> None:
        """Check a Secret before it is written."""
        self.promises.published(f"{self.name}/{key}", body["data"], by=who())

    def reports(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Check a status before it is written."""
        authorized = read_credential(before).status.condition(ConditionType.AUTHORIZED)
        was = authorized.reason if authorized else None
        self.promises.reported(f"{self.name}/{key}", after["status"], was=was, by=who())

    def had_escrow(self, since: float) -> set[Copy]:
        """Return the copies that have been in the escrow since a moment."""
        dropped = {copy for copy, at in self.dropped_at.items() if at >= since}
        return dropped | {self._copy(name) for name in self.escrow}

    def _copy(self, name: str) -> Copy:
        return name, self.made_at[name]

    def kept(self) -> set[str]:
        """Return the refresh tokens in escrow."""
        found = escrowed(self, GRANT_LOCATION, SecretValue(CLIENT_SECRET))
        return {grant.refresh_token.reveal() for grant in found}

    def tokens(self) -> dict[str, float]:
        """Return since when each refresh token of the right account is in escrow."""
        return {token: self.escrowed_at[token] for token in self.kept() if self.promises.is_right(token)}

    def kept_since(self, token: str) -> float | None:
        """Return since when a refresh token is in escrow; None if it is not there."""
        return self.escrowed_at[token] if token in self.kept() else None

    def keeps_escrow(self, body: Mapping[str, Any]) -> None:
        """Note when a refresh token got into escrow."""
        grant = self._opened(body)
        token = grant.refresh_token.reveal()
        self.escrowed_at[token] = self.made_at[body["metadata"]["name"]] = self.clock.monotonic()
        self.promises.copied.add(token)
        if grant.terms is None:
            self.promises.handed_over.add(token)
            self.promises.first_kept.setdefault(token, self.clock.monotonic())
        self.note("escrow", f"keeps {token}")
        self.on_kept()

    def drops_escrow(self, body: Mapping[str, Any]) -> None:
        """Note that a process dropped an escrow."""
        self.dropped_at[self._copy(body["metadata"]["name"])] = self.clock.monotonic()
        token = self._opened(body).refresh_token.reveal()
        if self.kept_since(token) is None:  # otherwise there is another copy
            self.promises.drops_escrow(token, by=who())

    def must_keep_escrow(self, body: Mapping[str, Any]) -> None:
        """Note that a process may not drop an escrow."""
        self.promises.must_keep_escrow(self._opened(body).refresh_token.reveal(), by=who())

    def _opened(self, body: Mapping[str, Any]) -> Grant:
        grant = unseal(dict(body), GRANT_LOCATION, SecretValue(CLIENT_SECRET), clock=self.clock)
        assert grant is not None
        return grant

    async def reads_escrow(self) -> None:
        """Fail, or take long, if the process is hindered."""
        if who() != self.hindered:
            return
        if self.network.strikes(self.loses_reads):
            self.note("escrow", "cannot be read")
            raise ApiServerUnavailable("no answer")
        await asyncio.sleep(self.network.chance.uniform(0, self.slowest_read))

    def lists_escrow(self, as_of: float) -> None:
        """Note what a process knows about the escrow."""
        self.promises.lists(by=who(), as_of=as_of)

    def reports_consent(self, body: Mapping[str, Any]) -> None:
        """Check the status of a consent after it was written."""
        metadata, conditions = body["metadata"], body["status"].get("conditions", ())
        reason = next((one["reason"] for one in conditions if one["type"] == "Complete"), "")
        self.note("consent", f"{metadata['name']}: {reason}")
        exchange = metadata["uid"], body["status"].get("observedGeneration", 0)
        self.promises.consent_reported(f"{self.name}/{metadata['name']}", exchange, reason, by=who())

    def hands_over(self, before: str, after: str) -> None:
        """Check who gives the Lease up."""
        self.promises.hands_over(self.name, before, after, by=who())

    def note(self, where: str, what: str) -> None:
        """Write a line into the history."""
        self.history.note(where, what)
