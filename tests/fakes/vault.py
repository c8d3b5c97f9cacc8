"""A KV version 2 secrets engine with check-and-set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from fakes.network import Network
from pipedrive_operator.core.grant.document import Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.values.errors import CheckAndSetConflict, VaultDenied, VaultUnavailable
from pipedrive_operator.ports import Clock

CAPABILITIES = ("create", "read", "update")


@dataclass
class FakeVault:
    """Implements `ports.Vault`."""

    clock: Clock
    network: Network = field(default_factory=Network)
    documents: dict[VaultLocation, Document] = field(default_factory=dict)
    aliases: dict[VaultLocation, VaultLocation] = field(default_factory=dict)
    """Other names of documents."""
    reads: list[VaultLocation] = field(default_factory=list)
    readers: list[VaultIdentity] = field(default_factory=list)
    writes: list[VaultLocation] = field(default_factory=list)
    """Attempts that the policy allows, successful or not."""
    denied: set[tuple[VaultLocation, VaultIdentity, str]] = field(default_factory=set)
    breaks: Exception | None = None
    """Raised by every call."""
    breaks_after: int | None = None
    """How many writes succeed before Vault is sealed."""
    mends_after: int | None = None
    """After how many writes it is unsealed again."""
    loses_acknowledgements: bool = False
    """Whether a failed write takes effect nevertheless."""
    on_loss: Callable[[], None] = lambda: None
    """Called before the writer can check whether its write took effect."""

    def put(self, location: VaultLocation, **values: object) -> None:
        """Write a version, as a user does."""
        held = self.documents.get(location)
        version = held.version + 1 if held else 1
        self.documents[location] = Document(
            location=location, version=version, created_at=self.clock.now(), values=values
        )

    def delete(self, location: VaultLocation) -> None:
        """Delete the newest version, as a person does; its number stays."""
        self.documents[location] = replace(self.documents[location], values={})

    def deny(self, location: VaultLocation, identity: VaultIdentity, *capabilities: str) -> None:
        """Remove capabilities from the policy of an identity; all of them if none is named."""
        self.denied |= {(location, identity, capability) for capability in capabilities or CAPABILITIES}

    def acknowledged(self, values: Mapping[str, object], *, as_of: float, is_newest: bool) -> None:
        """Do what a simulation does when a process has learned what Vault held at a moment."""

    def served(self, location: VaultLocation) -> tuple[Document | None, float]:
        """Return what a read finds, and the moment at which it was the newest version."""
        return self.documents.get(location), self.clock.monotonic()

    async def read(self, location: VaultLocation, identity: VaultIdentity) -> Document | None:
        """Return the newest version."""
        location = self.aliases.get(location, location)
        self.reads.append(location)
        self.readers.append(identity)
        await self.network.arrive(VaultUnavailable("Vault is away"))
        is_denied = (location, identity, "read") in self.denied
        found, as_of = self.served(location)
        await self.network.answer(VaultUnavailable("Vault's answer was lost"))
        if is_denied:
            raise VaultDenied("the policy does not allow to read it")
        if self.breaks is not None:
            raise self.breaks
        if found is not None:
            self.acknowledged(found.values, as_of=as_of, is_newest=found is self.documents.get(location))
        return found

    async def write(
        self, location: VaultLocation, values: Mapping[str, object], identity: VaultIdentity, *, cas: int
    ) -> int:
        """Write by check-and-set."""
        location = self.aliases.get(location, location)
        await self.network.arrive(VaultUnavailable("Vault is away"))
        held, as_of = self.documents.get(location), self.clock.monotonic()
        refusal = self._refusal(location, identity, held, cas)
        failure = None if isinstance(refusal, VaultDenied) else self._attempt(location)
        if refusal is None and (failure is None or self.loses_acknowledgements):
            self.put(location, **values)
        if failure is not None:
            self.on_loss()
            raise failure
        await self.network.answer(VaultUnavailable("Vault's answer was lost"))
        if refusal is not None:
            raise refusal
        self.acknowledged(values, as_of=as_of, is_newest=True)
        return cas + 1

    def _refusal(
        self, location: VaultLocation, identity: VaultIdentity, held: Document | None, cas: int
    ) -> VaultDenied | CheckAndSetConflict | None:
        if (location, identity, "update" if held else "create") in self.denied:
            return VaultDenied("the policy does not allow to write it")
        return None if (held.version if held else 0) == cas else CheckAndSetConflict(str(location))

    def _attempt(self, location: VaultLocation) -> Exception | None:
        """Count a write, and return the error with which it fails, if any."""
        is_sealed = self.breaks_after is not None and len(self.writes) >= self.breaks_after
        is_mended = self.mends_after is not None and len(self.writes) >= self.mends_after
        self.writes.append(location)
        return VaultUnavailable("Vault is sealed") if is_sealed and not is_mended else self.breaks
