"""The two implementations of `ports.Pipedrive` under contract: the fake, and the adapter with the simulator."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Protocol
from urllib.parse import urlsplit

from contracts.wire import Wire
from fakes.clock import TurnedClock
from fakes.network import Network
from fakes.pipedrive import FakePipedrive
from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.pipedrive import PipedriveApi
from pipedrive_operator.config.settings import PipedriveSettings
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.grant import TokenResponse
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.ports import Pipedrive
from testbed.pipedrive import Effect, Fault, FaultKind, PipedriveSimulator, Rotation
from testbed.pipedrive.world import App, User

CALL_TIMEOUT = timedelta(seconds=0.5)


class Disturbance(Enum):
    """What goes wrong with every request."""

    UNREACHABLE = "unreachable"
    """No connection comes about."""
    REQUEST_LOST = "request lost"
    """It is sent, and has no effect."""
    ANSWER_LOST = "answer lost"
    ANSWER_HANGS = "answer hangs"
    """It has its effect, and nothing comes back in time."""
    FAILS = "500"
    """The request is lost before it has an effect, which the caller cannot know."""
    TOO_MANY = "429"
    NOT_OPEN = "402"


class PipedrivePart(Protocol):
    """A Pipedrive with one grant, whose state a test controls."""

    @property
    def refresh_token(self) -> SecretValue:
        """The grant's first refresh token."""

    @property
    def api_token(self) -> SecretValue:
        """The API token of the user who gave the grant."""

    @property
    def account(self) -> Account:
        """The account that all tokens belong to."""

    @property
    def port(self) -> Pipedrive:
        """The port under contract; `refresh` calls it with the default fence."""

    @property
    def sends(self) -> int:
        """How many refreshes reached Pipedrive, or were lost on the way to it."""

    async def refresh(self, token: SecretValue, fence: Callable[[], Awaitable[None]] = ...) -> TokenResponse:
        """Refresh through the port, as the app that holds the grant."""

    def accept(self) -> SecretValue:
        """Press Accept as the same user, and return the code that the browser brings back."""

    async def exchange(self, code: SecretValue) -> TokenResponse:
        """Exchange a code through the port, with the redirect URI of the app."""

    def rotate(self, *, does: bool) -> None:
        """Turn the rotation of refresh tokens on or off."""

    async def disturb(self, disturbance: Disturbance) -> None:
        """Let every request go wrong in this way from now on."""

    async def heal(self) -> None:
        """End every disturbance."""

    def reject_client(self) -> None:
        """Change the app's secret, so that the one in use is refused."""

    def revoke(self, token: SecretValue) -> None:
        """Revoke an access token, or the grant of a refresh token."""

    def expire(self, token: SecretValue) -> None:
        """Let an access token expire."""


async def let_pass() -> None:
    """Let every request leave, as a fence."""


class FakedPipedrive:
    """The fake of unit tests and simulation."""

    def __init__(self) -> None:
        """Create one account with one grant."""
        self.port = FakePipedrive(TurnedClock(), call_timeout=CALL_TIMEOUT)
        self.refresh_token = SecretValue(self.port.consent())
        [(api_token, self.account)] = self.port.accounts.items()
        self.api_token = SecretValue(api_token)

    @property
    def sends(self) -> int:
        """Count."""
        return len(self.port.sends)

    async def refresh(self, token: SecretValue, fence: Callable[[], Awaitable[None]] = let_pass) -> TokenResponse:
        """Refresh."""
        client = ClientCredentials(client_id="id", client_secret=SecretValue("secret"))
        return await self.port.refresh(client, token, fence=fence)

    def accept(self) -> SecretValue:
        """Accept."""
        return self.port.accept()

    async def exchange(self, code: SecretValue) -> TokenResponse:
        """Exchange."""
        client = ClientCredentials(client_id="id", client_secret=SecretValue("secret"))
        return await self.port.exchange(client, code, "https://connect.example.com/callback", fence=let_pass)

    def rotate(self, *, does: bool) -> None:
        """Rotate."""
        self.port.rotates = does

    async def disturb(self, disturbance: Disturbance) -> None:
        """Try; a request that fails and one that is lost are the same to the port."""
        match disturbance:
            case Disturbance.UNREACHABLE:
                self.port.network = Network(is_away=True)
            case Disturbance.REQUEST_LOST | Disturbance.FAILS:
                self.port.network = Network(loses_requests=1)
            case Disturbance.ANSWER_LOST:
                self.port.network = Network(loses_answers=1)
            case Disturbance.ANSWER_HANGS:
                self.port.network = Network(loses_answers=1, hangs=1)
            case Disturbance.TOO_MANY:
                self.port.limits = 1
            case Disturbance.NOT_OPEN:
                self.port.is_open = False

    async def heal(self) -> None:
        """Heal."""
        self.port.network, self.port.limits, self.port.is_open = Network(), 0, True

    def reject_client(self) -> None:
        """Reject."""
        self.port.rejects_client = True

    def revoke(self, token: SecretValue) -> None:
        """Revoke."""
        self.port.alive.discard(token.reveal())
        self.port.accounts.pop(token.reveal(), None)

    def expire(self, token: SecretValue) -> None:
        """Expire."""
        self.port.expiries[token.reveal()] = self.port.clock.now()


@dataclass
class SimulatedPipedrive:
    """The simulator, behind the adapter."""

    port: PipedriveApi
    simulator: PipedriveSimulator
    wire: Wire
    user: User
    app: App
    grant_id: str

    def __post_init__(self) -> None:
        """Remember what was given out first."""
        self.client = ClientCredentials(client_id=self.app.client_id, client_secret=SecretValue(self.app.client_secret))
        self.refresh_token = SecretValue(self.simulator.newest_refresh_token(self.grant_id))
        self.api_token = SecretValue(self.user.api_token)
        self.account = Account(company_id=self.user.company_id, company_domain="acme", user_id=self.user.id)

    @property
    def sends(self) -> int:
        """Count."""
        return len(self.simulator.ledger.refreshes())

    async def refresh(self, token: SecretValue, fence: Callable[[], Awaitable[None]] = let_pass) -> TokenResponse:
        """Refresh."""
        return await self.port.refresh(self.client, token, fence=fence)

    def accept(self) -> SecretValue:
        """Accept."""
        code = self.simulator.consent(
            client_id=self.app.client_id, company_id=self.user.company_id, user_id=self.user.id
        )
        return SecretValue(code)

    async def exchange(self, code: SecretValue) -> TokenResponse:
        """Exchange."""
        return await self.port.exchange(self.client, code, self.app.redirect_uri, fence=let_pass)

    def rotate(self, *, does: bool) -> None:
        """Rotate."""
        self.simulator.switches.rotate = Rotation.ALWAYS if does else Rotation.NEVER

    async def disturb(self, disturbance: Disturbance) -> None:
        """Try."""
        match disturbance:
            case Disturbance.UNREACHABLE:
                await self.wire.hang_up()
            case Disturbance.REQUEST_LOST:
                self._fault(FaultKind.DROP, Effect.BEFORE)
            case Disturbance.ANSWER_LOST:
                self._fault(FaultKind.DROP, Effect.AFTER)
            case Disturbance.ANSWER_HANGS:
                self._fault(FaultKind.HANG, Effect.AFTER)
            case Disturbance.FAILS:
                self._fault(FaultKind.STATUS, Effect.BEFORE)
            case Disturbance.TOO_MANY:
                self.simulator.faults.add(Fault(kind=FaultKind.BURST_LIMIT, retry_after=5))
            case Disturbance.NOT_OPEN:
                self._fault(FaultKind.PAYMENT_REQUIRED, Effect.BEFORE)

    async def heal(self) -> None:
        """Heal."""
        self.simulator.faults.clear()
        await self.wire.listen_again()

    def reject_client(self) -> None:
        """Reject."""
        self.client = ClientCredentials(client_id=self.app.client_id, client_secret=SecretValue("another"))

    def revoke(self, token: SecretValue) -> None:
        """Revoke."""
        self.simulator.revoke_token(token=token.reveal())

    def expire(self, token: SecretValue) -> None:
        """Let the token's hour pass."""
        assert token
        self.simulator.advance(seconds=self.simulator.switches.expires_in)

    def _fault(self, kind: FaultKind, effect: Effect) -> None:
        self.simulator.faults.add(Fault(kind=kind, effect=effect))


@asynccontextmanager
async def simulated_pipedrive() -> AsyncIterator[SimulatedPipedrive]:
    """Serve one company with one app and one grant, at the end of a wire."""
    async with PipedriveSimulator() as simulator:
        port = urlsplit(simulator.url).port
        assert port is not None
        async with Wire(port) as wire:
            company = simulator.world.add_company(domain="acme")
            user = simulator.world.add_user(company_id=company.id)
            app = simulator.world.add_app(redirect_uri="http://127.0.0.1:9/", scopes=("base",))
            install = simulator.install(client_id=app.client_id, company_id=company.id, user_id=user.id)
            simulator.url = f"http://127.0.0.1:{wire.port}"
            async with PipedriveApi(_settings(simulator.url), SystemClock()) as api:
                yield SimulatedPipedrive(api, simulator, wire, user, app, install.grant_id)


def _settings(url: str) -> PipedriveSettings:
    return PipedriveSettings.model_validate(
        {
            "api_url": url,
            "oauth_url": url,
            "allowed_api_domains": ("http://127.0.0.1:*", "https://*.pipedrive.com"),
            "timeout": CALL_TIMEOUT,
        }
    )
