"""Every fake of a port. They keep the promises that `ports.py` makes, and can be told to break down."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.core.decision.sources import resolve
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.document import Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.grant import ClientCredentials, Grant, TokenResponse
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.publication.target import TargetSecret, read_target
from pipedrive_operator.core.resource.credential import AnyCredential, read_credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import (
    CheckAndSetConflict,
    ConsentRequired,
    GrantUnstored,
    OperatorError,
    RefreshUncertain,
    SecretChanged,
    SecretExists,
    TokenRejected,
    TokenResponseUnusable,
    VaultDenied,
    VaultUnavailable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.grants import GrantKeeper, RefreshProtocol
from pipedrive_operator.ports import Clock, Escrow, Event, Pipedrive, Vault
from support.builders import ACCOUNT, RULES
from support.turned_clock import TurnedClock

CALL_TIMEOUT = timedelta(seconds=15)


@dataclass
class FakeVault:
    """KV version 2, with an error to raise on demand."""

    clock: TurnedClock
    documents: dict[VaultLocation, Document] = field(default_factory=dict)
    aliases: dict[VaultLocation, VaultLocation] = field(default_factory=dict)
    """Other names of documents."""
    reads: list[VaultLocation] = field(default_factory=list)
    readers: list[VaultIdentity] = field(default_factory=list)
    writes: list[VaultLocation] = field(default_factory=list)
    denied: set[tuple[VaultLocation, VaultIdentity]] = field(default_factory=set)
    readonly: set[VaultIdentity] = field(default_factory=set)
    breaks: Exception | None = None
    breaks_after: int | None = None
    """How many writes succeed before Vault is sealed."""
    mends_after: int | None = None
    """After how many writes it is unsealed again."""
    loses_acknowledgements: bool = False
    on_loss: Callable[[], None] = lambda: None
    """What happens before the writer can look whether its write has landed."""

    def put(self, location: VaultLocation, **values: object) -> None:
        """Write a version as a person does."""
        held = self.documents.get(location)
        version = held.version + 1 if held else 1
        self.documents[location] = Document(
            location=location, version=version, created_at=self.clock.now(), values=values
        )

    def allows(self, location: VaultLocation, identity: VaultIdentity) -> bool:
        """Tell what the policy says."""
        return (location, identity) not in self.denied

    async def read(self, location: VaultLocation, identity: VaultIdentity) -> Document | None:
        """Return the newest version."""
        location = self.aliases.get(location, location)
        self.reads.append(location)
        self.readers.append(identity)
        if not self.allows(location, identity):
            raise VaultDenied("the policy does not allow it")
        if self.breaks is not None:
            raise self.breaks
        return self.documents.get(location)

    async def write(
        self, location: VaultLocation, values: Mapping[str, object], identity: VaultIdentity, *, cas: int
    ) -> int:
        """Write by check-and-set."""
        location = self.aliases.get(location, location)
        if not self.allows(location, identity) or identity in self.readonly:
            raise VaultDenied("the policy does not allow it")
        is_sealed = self.breaks_after is not None and len(self.writes) >= self.breaks_after
        if self.mends_after is not None and len(self.writes) >= self.mends_after:
            is_sealed = False
        trouble = VaultUnavailable("Vault is sealed") if is_sealed else self.breaks
        self.writes.append(location)
        if trouble is not None and not self.loses_acknowledgements:
            raise trouble
        held = self.documents.get(location)
        if (held.version if held else 0) != cas:
            raise CheckAndSetConflict(str(location))
        self.put(location, **values)
        if trouble is not None:
            self.on_loss()
            raise trouble
        return cas + 1


@dataclass
class FakePipedrive:
    """Companies' tokens; a refresh token is spent by its use."""

    accounts: dict[str, Account] = field(default_factory=lambda: {"a" * 40: ACCOUNT})
    alive: set[str] = field(default_factory=set)
    identified: list[str] = field(default_factory=list)
    spent: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    breaks: OperatorError | None = None
    loses_answers: bool = False
    spoils_answers: bool = False
    lifetime: timedelta = timedelta(hours=1)
    gate: asyncio.Event | None = None
    waits: bool = False
    before_fence: Callable[[], None] | None = None

    def answer(self) -> None:
        """Answer what the gate has held up."""
        assert self.gate is not None
        self.gate.set()

    async def identify_api_token(self, value: SecretValue) -> Account:
        """Return the account of a known token."""
        return self._identify(value)

    async def identify_access_token(self, token: Token) -> Account:
        """Return the account of a known token."""
        return self._identify(token.value)

    async def refresh(
        self, client: ClientCredentials, refresh_token: SecretValue, *, fence: Callable[[], None]
    ) -> TokenResponse:
        """Rotate a refresh token."""
        assert client.client_secret
        if self.before_fence is not None:
            self.before_fence()
        fence()
        if self.gate is not None:
            self.waits = True
            await self.gate.wait()
        if self.breaks is not None:
            raise self.breaks
        self.sent.append(refresh_token.reveal())
        if refresh_token.reveal() not in self.alive:
            raise ConsentRequired("Pipedrive refused the refresh token")
        self.alive.remove(refresh_token.reveal())
        self.spent.append(refresh_token.reveal())
        number = len(self.spent)
        self.alive.add(f"refresh-{number}")
        self.accounts[f"access-{number}"] = ACCOUNT
        if self.loses_answers:
            raise RefreshUncertain("the answer was lost")
        if self.spoils_answers:
            raise TokenResponseUnusable("api_domain is not Pipedrive's", SecretValue(f"refresh-{number}"))
        return TokenResponse(
            access_token=SecretValue(f"access-{number}"),
            refresh_token=SecretValue(f"refresh-{number}"),
            token_type="Bearer",
            expires_in=self.lifetime,
            scope=frozenset({"base", "deals:full"}),
            api_domain="https://acme.pipedrive.com",
        )

    def _identify(self, value: SecretValue) -> Account:
        self.identified.append(value.reveal())
        if self.breaks is not None:
            raise self.breaks
        if value.reveal() not in self.accounts:
            raise TokenRejected("Pipedrive refused the token")
        return self.accounts[value.reveal()]


@dataclass
class FakeIdentities:
    """A holder, and numbered names."""

    holder: str = "us"
    count: int = 0

    def new(self) -> str:
        """Return the next name."""
        self.count += 1
        return f"{self.holder}-{self.count}"


@dataclass
class FakeLeadership:
    """Leads for as long as it is told."""

    seconds: float = float("inf")

    def remaining(self) -> float:
        """Return the seconds."""
        return self.seconds


@dataclass
class FakeEscrow:
    """Keeps grants in memory, each under its key."""

    kept: dict[VaultLocation, tuple[Grant, SecretValue]] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    is_away: bool = False
    breaks: Exception | None = None

    def holds(self, location: VaultLocation) -> bool:
        """Tell whether something is kept."""
        return location in self.kept

    async def find(self, location: VaultLocation) -> bool:
        """Look whether something is kept."""
        return location in self.kept

    async def keep(self, location: VaultLocation, won: Grant, refresh_id: str, key: SecretValue) -> bool:
        """Keep a grant, unless it breaks."""
        assert refresh_id
        self.history.append("keep")
        if self.breaks is not None:
            raise self.breaks
        if not self.is_away:
            self.kept[location] = (won, key)
        return not self.is_away

    async def open(self, location: VaultLocation, key: SecretValue) -> Grant | None:
        """Return what is kept."""
        if location not in self.kept:
            return None
        won, kept_under = self.kept[location]
        if kept_under != key:
            raise GrantUnstored("the escrow cannot be opened")
        return won

    async def drop(self, location: VaultLocation) -> None:
        """Let go of what is kept."""
        if self.kept.pop(location, None) is not None:
            self.history.append("drop")


def a_keeper(
    vault: Vault,
    pipedrive: Pipedrive,
    clock: Clock,
    on_change: Callable[[frozenset[Key], refresh_state.RefreshState], None],
    *,
    escrow: Escrow | None = None,
) -> GrantKeeper:
    """Build a keeper of grants that leads for ever."""
    protocol = RefreshProtocol(
        vault=vault,
        pipedrive=pipedrive,
        clock=clock,
        escrow=escrow or FakeEscrow(),
        leadership=FakeLeadership(),
        process=FakeIdentities(),
        call_timeout=CALL_TIMEOUT,
    )
    return GrantKeeper(protocol=protocol, clock=clock, on_change=on_change)


class FakeCluster:
    """Secrets and statuses, seen by a real cache at once unless a Secret is hidden from the watch."""

    def __init__(self) -> None:
        """Start empty."""
        self.cache = Cache(lambda credential: resolve(credential, RULES))
        self.objects: dict[Key, dict[str, Any]] = {}
        self.resources: dict[Key, dict[str, Any]] = {}
        self.writes: list[str] = []
        self.events: list[Event] = []
        self.breaks: OperatorError | None = None
        self._version = 1000

    def apply(self, resource: dict[str, Any]) -> AnyCredential:
        """Create or change a credential, and let the watch tell."""
        credential = read_credential(resource)
        known = self.resources.get(credential.key)
        status = known["status"] if known else resource["status"]
        metadata = resource["metadata"] | {"resourceVersion": self._next()}
        body = self.resources[credential.key] = resource | {"metadata": metadata, "status": status}
        self.cache.see_credential("MODIFIED", body)
        return read_credential(body)

    def put_secret(self, body: dict[str, Any], *, watched: bool = True) -> TargetSecret:
        """Create or change a Secret behind the operator's back."""
        served = body | {"metadata": {"uid": "uid-of-secret"} | body["metadata"] | {"resourceVersion": self._next()}}
        target = read_target(served)
        self.objects[target.key] = served
        if watched:
            self.cache.see_secret("MODIFIED", served)
        return target

    def delete_secret(self, key: Key) -> None:
        """Delete a Secret behind the operator's back."""
        body = self.objects.pop(key)
        self.cache.see_secret("DELETED", body | {"metadata": body["metadata"] | {"resourceVersion": self._next()}})

    def secret(self, name: str = "acme") -> TargetSecret | None:
        """Return a Secret as it is in the cluster."""
        body = self.objects.get(Key(namespace="crm", name=name))
        return None if body is None else read_target(body)

    async def read(self, key: Key) -> TargetSecret | None:
        """Read a Secret."""
        body = self.objects.get(key)
        return None if body is None else read_target(body)

    async def create(self, manifest: Mapping[str, Any]) -> TargetSecret:
        """Create a Secret."""
        key = Key(namespace=manifest["metadata"]["namespace"], name=manifest["metadata"]["name"])
        self._write(f"create secret {key.name}")
        if key in self.objects:
            raise SecretExists(str(key))
        return self.put_secret(dict(manifest))

    async def patch(self, key: Key, patch: Mapping[str, Any]) -> TargetSecret:
        """Merge-patch a Secret at its resourceVersion."""
        self._write(f"patch secret {key.name}")
        body = self.objects.get(key)
        if body is None or body["metadata"]["resourceVersion"] != patch["metadata"]["resourceVersion"]:
            raise SecretChanged(str(key))
        return self.put_secret(merged(body, patch))

    async def delete(self, target: TargetSecret) -> None:
        """Delete a Secret."""
        self._write(f"delete secret {target.key.name}")
        self.objects.pop(target.key, None)

    async def patch_status(self, key: Key, status: Mapping[str, Any]) -> AnyCredential | None:
        """Merge-patch a status."""
        self._write("patch status")
        body = self.resources.get(key)
        if body is None:
            return None
        changed = merged(body, {"metadata": {"resourceVersion": self._next()}, "status": status})
        self.resources[key] = changed
        return read_credential(changed)

    async def record_event(self, credential: AnyCredential, event: Event) -> None:
        """Record an Event."""
        assert credential.key in self.resources
        self.events.append(event)

    def _write(self, what: str) -> None:
        self.writes.append(what)
        if self.breaks is not None:
            raise self.breaks

    def _next(self) -> str:
        self._version += 1
        return str(self._version)


def merged(body: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a merge patch as RFC 7386 defines it."""
    result = dict(body)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            held = result.get(key)
            result[key] = merged(held if isinstance(held, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def renamed(account: Account, domain: str) -> Account:
    """Give a company another domain."""
    return replace(account, company_domain=domain)
