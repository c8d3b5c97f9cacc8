"""The simulated Pipedrive without HTTP: its state, rules, faults, ledger and clock, and the actions of its users."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus

from testbed.pipedrive.answers import TokenResponse
from testbed.pipedrive.callbacks import Delivery, probe, send_sharing, send_uninstall
from testbed.pipedrive.faults import Faults
from testbed.pipedrive.grants import Grants
from testbed.pipedrive.issued import Grant, TokenPair
from testbed.pipedrive.ledger import Ledger
from testbed.pipedrive.switches import Switches
from testbed.pipedrive.world import World


@dataclass(frozen=True)
class Install:
    """The result of a consent and code exchange without HTTP: the grant and the raw token response."""

    grant_id: str
    answer: TokenResponse


class Simulation:
    """One simulated Pipedrive; `url` is its address, and the `api_domain` of its token responses."""

    def __init__(
        self,
        *,
        switches: Switches | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Start without companies; the clock returns seconds since the epoch."""
        self.url = ""
        self.switches = switches or Switches()
        self.world = World()
        self.grants = Grants(self.world, self.switches)
        self.faults = Faults()
        self.ledger = Ledger()
        self._clock = clock
        self._ahead = 0.0

    def now(self) -> float:
        """Return the simulated time in seconds since the epoch."""
        return self._clock() + self._ahead

    def advance(self, *, seconds: float) -> float:
        """Advance the clock and return the new time."""
        self._ahead += seconds
        return self.now()

    def api_domain(self, company_id: int) -> str:
        """Return the `api_domain` of a company's token responses."""
        company = self.world.companies[company_id]
        pattern = self.switches.api_domain or self.url
        return company.api_domain or pattern.replace("{company_domain}", company.domain)

    def token_answer(self, pair: TokenPair) -> TokenResponse:
        """Return the token endpoint's response for tokens just issued."""
        return {
            "access_token": pair.access.value,
            "token_type": "Bearer",
            "refresh_token": pair.refresh.value,
            "scope": ",".join(pair.access.scopes),
            "expires_in": pair.expires_in,
            "api_domain": self.api_domain(pair.access.grant.company_id),
        }

    def consent(self, *, client_id: str, company_id: int, user_id: int) -> str:
        """Accept an app as a user, without a browser, and return the authorization code."""
        return self.grants.consent(client_id, company_id, user_id, now=self.now()).value

    def install(
        self, *, client_id: str, company_id: int, user_id: int, scopes: tuple[str, ...] | None = None
    ) -> Install:
        """Accept an app as a user and exchange the code; `scopes` simulates a consent to the app's earlier scopes."""
        code = self.consent(client_id=client_id, company_id=company_id, user_id=user_id)
        pair = self.grants.exchange(code, self.world.apps[client_id], now=self.now(), scopes=scopes)
        return Install(pair.access.grant.id, self.token_answer(pair))

    def revoke_token(self, *, token: str) -> Grant | None:
        """Revoke a token, as its app would."""
        issued = self.grants.refresh_tokens.get(token) or self.grants.access_tokens.get(token)
        return self.grants.revoke(token, self.world.apps[issued.grant.client_id]) if issued else None

    def revoke_grant(self, *, grant_id: str) -> Grant:
        """Revoke one grant without notifying the app. Raises KeyError if unknown."""
        grant = self.grants.by_id[grant_id]
        self.grants.revoke_grant(grant)
        return grant

    async def uninstall(self, *, client_id: str, company_id: int, user_id: int) -> Delivery:
        """Uninstall an app as a user does, and notify the app at its callback URL."""
        app = self.world.apps[client_id]
        self.grants.uninstall(client_id, company_id, user_id)
        return await send_uninstall(app, company_id, user_id, now=self.now())

    async def share_app(self, *, client_id: str, company_id: int, user_id: int, is_shared: bool = True) -> Delivery:
        """Share an app with a user, or stop sharing it, and notify the app at its callback URL."""
        return await send_sharing(self.world.apps[client_id], company_id, user_id, is_shared=is_shared)

    async def change_to_live(self, *, client_id: str) -> Delivery:
        """Make an app live, which cannot be undone, if its callback URL responds with status 200."""
        app = self.world.apps[client_id]
        delivery = await probe(app)
        app.is_live = app.is_live or delivery.status == HTTPStatus.OK
        return delivery

    def newest_refresh_token(self, grant_id: str) -> str:
        """Return the newest refresh token of a grant. Raises StopIteration if there is none."""
        newest_first = reversed(self.grants.refresh_tokens.values())
        return next(token.value for token in newest_first if token.grant.id == grant_id)

    def state(self) -> dict[str, object]:
        """Return the whole state, including tokens, which are worthless outside the simulator."""
        return {
            "url": self.url,
            "now": self.now(),
            "switches": asdict(self.switches),
            "companies": list(self.world.companies.values()),
            "users": list(self.world.users.values()),
            "apps": list(self.world.apps.values()),
            "grants": self._grants_with_newest_tokens(),
            "faults": [{"id": armed.id, "hits": armed.hits, **asdict(armed.fault)} for armed in self.faults],
        }

    def _grants_with_newest_tokens(self) -> list[dict[str, object]]:
        newest = {token.grant.id: token.value for token in self.grants.refresh_tokens.values()}
        return [{**asdict(grant), "refresh_token": newest[grant.id]} for grant in self.grants.by_id.values()]
