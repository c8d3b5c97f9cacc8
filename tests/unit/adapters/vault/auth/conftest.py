"""Fixtures: a session that logs in to a fake Vault."""

import pytest

from fakes.clock import TurnedClock
from fakes.vault_server import FakeVaultServer
from pipedrive_operator.adapters.vault.auth.session import Session


@pytest.fixture
def vault() -> FakeVaultServer:
    """Return a Vault."""
    return FakeVaultServer()


@pytest.fixture
def session(vault: FakeVaultServer, clock: TurnedClock) -> Session:
    """Return a session that logs in there."""
    return Session(vault, vault.send, clock)
