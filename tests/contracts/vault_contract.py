"""The two implementations of `ports.Vault` under contract: the fake, and the adapter with a real OpenBao."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from contracts.wire import Loss, Wire, lose
from fakes.clock import TurnedClock
from fakes.network import Network
from fakes.vault import FakeVault
from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.config.vault import VaultAuthSettings, VaultConnectionSettings, VaultSettings
from pipedrive_operator.core.grant.document import OPERATOR, VaultLocation
from pipedrive_operator.ports import Vault
from support.vault_clock import ImpatientClock
from testbed.openbao import OpenBao

ALLOWED = ("create", "read", "update")


class VaultPart(Protocol):
    """A Vault whose state a test controls."""

    @property
    def port(self) -> Vault:
        """The port under contract."""

    @property
    def location(self) -> VaultLocation:
        """The location of a document that was never written."""

    def now(self) -> datetime:
        """Return the time of the server."""

    def put(self, **values: str) -> None:
        """Write a version, as a person would."""

    def delete(self) -> None:
        """Delete the newest version, as a person would."""

    def deny(self, *capabilities: str) -> None:
        """Remove capabilities of `ALLOWED` from the policy."""

    def seal(self) -> None:
        """Seal the server."""

    def lose(self, loss: Loss) -> None:
        """Lose requests or responses from now on."""

    def heal(self) -> None:
        """End every disturbance, and let the adapter's pauses pass."""


@dataclass
class FakedVault:
    """The fake of unit tests and simulation."""

    location: VaultLocation
    port: FakeVault = field(default_factory=lambda: FakeVault(TurnedClock()))

    def now(self) -> datetime:
        """Return the fake's time."""
        return self.port.clock.now()

    def put(self, **values: str) -> None:
        """Write a version."""
        self.port.put(self.location, **values)

    def delete(self) -> None:
        """Delete the newest version."""
        self.port.delete(self.location)

    def deny(self, *capabilities: str) -> None:
        """Deny capabilities."""
        self.port.deny(self.location, OPERATOR, *capabilities)

    def seal(self) -> None:
        """Become unavailable, which is the same for the port."""
        self.port.network.is_away = True

    def lose(self, loss: Loss) -> None:
        """Lose requests or responses."""
        lose(self.port.network, loss)

    def heal(self) -> None:
        """End every disturbance."""
        self.port.denied.clear()
        self.port.network = Network()


@dataclass
class RealVault:
    """OpenBao behind a lossy relay, used with a token that has a policy of its own."""

    port: VaultConnections
    location: VaultLocation
    openbao: OpenBao
    wire: Wire
    clock: TurnedClock
    policy: str

    def now(self) -> datetime:
        """Return the machine's time, which OpenBao uses, too."""
        return SystemClock().now()

    def put(self, **values: str) -> None:
        """Write as root."""
        self.openbao.write_secret(self.location.path, values)

    def delete(self) -> None:
        """Delete as root."""
        self.openbao.request("DELETE", f"secret/data/{self.location.path}")

    def deny(self, *capabilities: str) -> None:
        """Write a policy without these capabilities."""
        left = ", ".join(f'"{capability}"' for capability in ALLOWED if capability not in capabilities)
        self.openbao.put_policy(self.policy, f'path "secret/data/{self.policy}/*" {{ capabilities = [{left}] }}')

    def seal(self) -> None:
        """Seal the server."""
        self.openbao.seal()

    def lose(self, loss: Loss) -> None:
        """Lose requests or responses."""
        self.wire.loses = loss

    def heal(self) -> None:
        """Unseal, restore policy and relay, and let the adapter's longest pause pass."""
        self.openbao.unseal()
        self.deny()
        self.wire.loses = Loss.NOTHING
        self.clock.turn(timedelta(seconds=10))


@asynccontextmanager
async def real_vault(openbao: OpenBao, location: VaultLocation, folder: Path) -> AsyncIterator[RealVault]:
    """Open the adapter to OpenBao. The first folder of the location's path belongs to this test."""
    policy = location.path.partition("/")[0]
    port = urlsplit(openbao.address).port
    assert port is not None
    token_file = folder / "token"
    token_file.write_text(openbao.create_token([policy]))
    clock = ImpatientClock()
    async with Wire(port) as wire:
        connection = VaultConnectionSettings.model_validate(
            {
                "address": f"http://127.0.0.1:{wire.port}",
                "auth": VaultAuthSettings.model_validate({"method": "token", "token_file": token_file}),
            }
        )
        async with VaultConnections(VaultSettings(connections={"default": connection}), clock) as vault:
            part = RealVault(vault, location, openbao, wire, clock, policy)
            part.deny()
            try:
                yield part
            finally:
                openbao.unseal()
