"""Vault: the model, and OpenBao behind the adapter."""

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
from support.vault import ImpatientClock
from testbed.openbao import OpenBao

ALLOWED = ("create", "read", "update")


class VaultPart(Protocol):
    """A Vault that can be arranged."""

    @property
    def port(self) -> Vault:
        """What is under contract."""

    @property
    def location(self) -> VaultLocation:
        """Where nothing was ever written."""

    def now(self) -> datetime:
        """Return the time there."""

    def put(self, **values: str) -> None:
        """Write a version, as a person does."""

    def delete(self) -> None:
        """Delete the newest version, as a person does."""

    def deny(self, *capabilities: str) -> None:
        """Take away one or more of `ALLOWED`."""

    def seal(self) -> None:
        """Seal it."""

    def lose(self, loss: Loss) -> None:
        """Lose what is sent from now on."""

    def heal(self) -> None:
        """Let everything be well, for a while now."""


@dataclass
class FakedVault:
    """The fake."""

    location: VaultLocation
    port: FakeVault = field(default_factory=lambda: FakeVault(TurnedClock()))

    def now(self) -> datetime:
        """Return the fake's time."""
        return self.port.clock.now()

    def put(self, **values: str) -> None:
        """Write."""
        self.port.put(self.location, **values)

    def delete(self) -> None:
        """Delete."""
        self.port.delete(self.location)

    def deny(self, *capabilities: str) -> None:
        """Deny."""
        self.port.deny(self.location, OPERATOR, *capabilities)

    def seal(self) -> None:
        """Be away: to the port that is the same."""
        self.port.network.is_away = True

    def lose(self, loss: Loss) -> None:
        """Lose."""
        lose(self.port.network, loss)

    def heal(self) -> None:
        """Heal."""
        self.port.denied.clear()
        self.port.network = Network()


@dataclass
class RealVault:
    """OpenBao, at the end of a wire, to a token with a policy of its own."""

    port: VaultConnections
    location: VaultLocation
    openbao: OpenBao
    wire: Wire
    clock: TurnedClock
    policy: str

    def now(self) -> datetime:
        """Return the machine's time, which is OpenBao's."""
        return SystemClock().now()

    def put(self, **values: str) -> None:
        """Write as root."""
        self.openbao.write_secret(self.location.path, values)

    def delete(self) -> None:
        """Delete as root."""
        self.openbao.request("DELETE", f"secret/data/{self.location.path}")

    def deny(self, *capabilities: str) -> None:
        """Narrow the policy."""
        left = ", ".join(f'"{capability}"' for capability in ALLOWED if capability not in capabilities)
        self.openbao.put_policy(self.policy, f'path "secret/data/{self.policy}/*" {{ capabilities = [{left}] }}')

    def seal(self) -> None:
        """Seal."""
        self.openbao.seal()

    def lose(self, loss: Loss) -> None:
        """Lose."""
        self.wire.loses = loss

    def heal(self) -> None:
        """Unseal, allow, carry; and let the adapter's longest pause pass."""
        self.openbao.unseal()
        self.deny()
        self.wire.loses = Loss.NOTHING
        self.clock.turn(timedelta(seconds=10))


@asynccontextmanager
async def real_vault(openbao: OpenBao, location: VaultLocation, folder: Path) -> AsyncIterator[RealVault]:
    """Open the adapter to OpenBao; the first folder of the location's path is nobody else's."""
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
