"""One company, one user and one app on a running simulator, and the requests that an integration sends to it."""

from dataclasses import dataclass
from typing import Any

import aiohttp

from testbed.pipedrive import PipedriveSimulator
from testbed.pipedrive.world import App, Company, User

REDIRECT_URI = "http://127.0.0.1:9/callback"
START = 1_760_000_000.0


@dataclass
class TurnedClock:
    """A clock that stands still until a test advances it."""

    now: float = START

    def __call__(self) -> float:
        """Return the time in seconds since the epoch."""
        return self.now


@dataclass(frozen=True)
class Answer:
    """An HTTP response, read completely."""

    status: int
    headers: dict[str, str]
    text: str
    json: Any


def basic(client_id: str, client_secret: str) -> dict[str, str]:
    """Return the header of HTTP Basic authentication."""
    return {"Authorization": aiohttp.encode_basic_auth(client_id, client_secret)}


@dataclass(frozen=True)
class Acme:
    """A client's view of the simulator, together with the simulator itself."""

    simulator: PipedriveSimulator
    session: aiohttp.ClientSession
    clock: TurnedClock
    company: Company
    user: User
    app: App

    def install(self) -> dict[str, Any]:
        """Consent, exchange the code, and return the token response."""
        return dict(
            self.simulator.install(
                client_id=self.app.client_id, company_id=self.company.id, user_id=self.user.id
            ).answer
        )

    def consent(self) -> str:
        """Consent, and return the authorization code."""
        return self.simulator.consent(client_id=self.app.client_id, company_id=self.company.id, user_id=self.user.id)

    async def post(self, path: str, form: dict[str, str], **options: object) -> Answer:
        """Post a form with the app's Basic authentication, unless `headers` say otherwise."""
        options.setdefault("headers", basic(self.app.client_id, self.app.client_secret))
        return await self.ask("POST", path, data=form, **options)

    async def refresh(self, refresh_token: str, **options: object) -> Answer:
        """Send a refresh."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self.post("/oauth/token", form, **options)

    async def exchange(self, code: str, redirect_uri: str = REDIRECT_URI) -> Answer:
        """Exchange an authorization code."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        return await self.post("/oauth/token", form)

    async def me(self, access_token: str, path: str = "/v1/users/me") -> Answer:
        """Request `/users/me` with an access token."""
        return await self.ask("GET", path, headers={"Authorization": f"Bearer {access_token}"})

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Send any request, and follow no redirect."""
        url = self.simulator.url + path
        async with self.session.request(method, url, allow_redirects=False, **options) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json" and text
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, headers, text, await answer.json() if is_json else None)
