"""One company, one user, one app and one grant on a running simulator, and the adapter that is connected to it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.pipedrive.client import PipedriveApi
from pipedrive_operator.config.settings import PipedriveSettings
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.grant import TokenResponse
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import Trouble
from pipedrive_operator.core.values.secret_value import SecretValue
from testbed.pipedrive import Effect, PipedriveSimulator
from testbed.pipedrive.world import App, User

BEFORE, AFTER = Effect.BEFORE, Effect.AFTER
TIMEOUT = timedelta(seconds=0.5)
"""Of the adapter in tests that wait for it."""
AMPLE = timedelta(seconds=20)
"""Of the adapter in all other tests, so that a busy machine does not fail them."""
CLIENT = ClientCredentials(client_id="id", client_secret=SecretValue("secret"))


def settings(url: str, **changes: object) -> PipedriveSettings:
    """Return settings for a Pipedrive on this machine."""
    local = {
        "api_url": url,
        "oauth_url": url,
        "allowed_api_domains": ("http://127.0.0.1:*", "https://*.pipedrive.com"),
        "timeout": AMPLE,
    }
    return PipedriveSettings.model_validate(local | changes)


def adapter(url: str, **changes: object) -> PipedriveApi:
    """Return the adapter for a Pipedrive on this machine."""
    return PipedriveApi(settings(url, **changes), SystemClock())


@dataclass(frozen=True)
class Acme:
    """A company with one user, one app and one grant, and the adapter that is connected to its Pipedrive."""

    simulator: PipedriveSimulator
    api: PipedriveApi
    user: User
    app: App
    grant_id: str

    @property
    def client(self) -> ClientCredentials:
        """The app's id and secret."""
        return ClientCredentials(client_id=self.app.client_id, client_secret=SecretValue(self.app.client_secret))

    @property
    def refresh_token(self) -> SecretValue:
        """The newest refresh token."""
        return SecretValue(self.simulator.newest_refresh_token(self.grant_id))

    @property
    def account(self) -> Account:
        """The account that all tokens belong to."""
        return Account(company_id=self.user.company_id, company_domain="acme", user_id=self.user.id)

    async def refresh(self, refresh_token: SecretValue | None = None) -> TokenResponse:
        """Refresh through the adapter."""
        return await self.api.refresh(self.client, refresh_token or self.refresh_token)

    async def identify(self) -> Account:
        """Verify the user's API token."""
        return await self.api.identify_api_token(SecretValue(self.user.api_token))


async def trouble_of(call: Awaitable[object]) -> Trouble:
    """Return the error that a call raises."""
    with pytest.raises(Trouble) as caught:
        await call
    return caught.value


@asynccontextmanager
async def canned(
    answer: bytes, *, tls: ssl.SSLContext | None = None, stays_open: bool = False
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Send the same bytes to every client; yield host, port and the heads of the requests that arrived."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        while stays_open and await reader.read(4096):
            pass
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", ssl=tls)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}", heads


def http_answer(status: str, body: str = "") -> bytes:
    """Build a response after which the connection closes."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
