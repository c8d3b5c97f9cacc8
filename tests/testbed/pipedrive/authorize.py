"""The authorize page: a person accepts or denies an app, and the browser goes back to the app.

The marketplace leads to the same page without a state, or first to a page of the app.
"""

from http import HTTPStatus
from typing import Final

from aiohttp import web
from yarl import URL

from testbed.pipedrive.conductor import Conductor
from testbed.pipedrive.faults import Endpoint, Subject
from testbed.pipedrive.ledger import Call, Outcome
from testbed.pipedrive.page import consent_page
from testbed.pipedrive.simulation import Simulation
from testbed.pipedrive.world import App, User

COMPANY_PATH: Final = "/oauth/authorize/apps"
"""Where the page is on a company's own domain."""


class AuthorizeEndpoint:
    """`GET /oauth/authorize` shows the page; its form is posted to the same address."""

    def __init__(self, simulation: Simulation, conductor: Conductor) -> None:
        """Serve one simulation."""
        self._simulation = simulation
        self._conductor = conductor

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/oauth/authorize", self.show, allow_head=False),
            web.post("/oauth/authorize", self.decide),
            web.get(COMPANY_PATH, self.show, allow_head=False),
            web.post(COMPANY_PATH, self.decide),
            web.get("/marketplace/install", self.install, allow_head=False),
        ]

    async def install(self, request: web.Request) -> web.StreamResponse:
        """Send the browser to the app's installation URL or, without one, to the authorize page without a state."""
        app = self._simulation.world.apps.get(request.query.get("client_id", ""))
        if app is None:
            return _bad("Invalid client: client is invalid")
        authorize = URL("/oauth/authorize").with_query(client_id=app.client_id, redirect_uri=app.redirect_uri)
        return _redirect(app.installation_url or str(authorize))

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show which app asks for which scopes."""
        subject = Subject(endpoint=Endpoint.AUTHORIZE, client_id=request.query.get("client_id"))
        return await self._conductor.perform(request, subject, lambda call: self._show(request, call))

    async def decide(self, request: web.Request) -> web.StreamResponse:
        """Send the browser back with a code, or with the error of a refusal."""
        form = {key: str(value) for key, value in (await request.post()).items()}
        subject = Subject(endpoint=Endpoint.AUTHORIZE, client_id=request.query.get("client_id"))
        return await self._conductor.perform(request, subject, lambda call: self._decide(request, form, call))

    def _show(self, request: web.Request, call: Call) -> web.Response:
        app = self._app(request)
        if isinstance(app, web.Response):
            return self._settled(call, app)
        company_page = self._simulation.switches.company_page
        if company_page is not None and request.path != COMPANY_PATH:
            return self._settled(call, _redirect(f"{company_page}{COMPANY_PATH}?{request.query_string}"))
        users = self._users_who_see(app)
        if not users:
            return self._settled(call, _bad("App cannot be installed for requested company"))
        companies = self._simulation.world.companies
        people = [(user, companies[user.company_id]) for user in users]
        page = web.Response(text=consent_page(app, people), content_type="text/html")
        return self._settled(call, page)

    def _decide(self, request: web.Request, form: dict[str, str], call: Call) -> web.Response:
        app = self._app(request)
        if isinstance(app, web.Response):
            return self._settled(call, app)
        outcome = self._outcome(app, form)
        if outcome is None:
            return self._settled(call, _bad("App cannot be installed for requested company"))
        back = URL(app.redirect_uri).update_query(outcome)
        if "state" in request.query:
            back = back.update_query(state=request.query["state"])
        return self._settled(call, _redirect(str(back)))

    def _outcome(self, app: App, form: dict[str, str]) -> dict[str, str] | None:
        """Return what the browser takes back to the app; None if the user does not see the app."""
        if form.get("decision") != "accept":
            return {"error": self._simulation.switches.denial}
        for user in self._users_who_see(app):
            if form.get("user") == f"{user.company_id}:{user.id}":
                code = self._simulation.consent(client_id=app.client_id, company_id=user.company_id, user_id=user.id)
                return {"code": code}
        return None

    def _app(self, request: web.Request) -> App | web.Response:
        """Return the app that the URL names, or an error response."""
        query = request.query
        if query.get("scope") == "" and self._simulation.switches.empty_scope_refused:
            return _bad("Invalid request: scope is empty")
        app = self._simulation.world.apps.get(query.get("client_id", ""))
        if app is None:
            return _bad("Invalid client: client is invalid")
        if query.get("redirect_uri") != app.redirect_uri:
            return _bad("Invalid redirect URL")
        return app

    def _users_who_see(self, app: App) -> list[User]:
        users = self._simulation.world.users.values()
        seen_by = app.company_ids
        return [user for user in users if user.is_active and (seen_by is None or user.company_id in seen_by)]

    def _settled(self, call: Call, answer: web.Response) -> web.Response:
        outcome = Outcome.ACCEPTED if answer.status < HTTPStatus.BAD_REQUEST else Outcome.REFUSED
        self._simulation.ledger.settle(call, outcome)
        return answer


def _redirect(location: str) -> web.Response:
    return web.Response(status=HTTPStatus.FOUND, headers={"Location": location})


def _bad(error: str) -> web.Response:
    return web.json_response({"error": error}, status=HTTPStatus.BAD_REQUEST)
