"""The API behind its gateway: `GET /v1/users/me` for both kinds of credential, and errors for the rest."""

from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from testbed.pipedrive import answers
from testbed.pipedrive.conductor import Conductor
from testbed.pipedrive.faults import Endpoint, Subject
from testbed.pipedrive.ledger import Call, Outcome
from testbed.pipedrive.simulation import Simulation
from testbed.pipedrive.tokens import digest_of
from testbed.pipedrive.workload_api import Sent, WorkloadApi, read_sent
from testbed.pipedrive.world import Company, User

BEARER = "bearer "


@dataclass(frozen=True)
class Presented:
    """The credential in a request; `kind` is None if there is none, and `malformed` for an unreadable header."""

    kind: str | None
    value: str = ""


class ApiEndpoints:
    """Everything under `/v1`, `/api/v1` and `/api/v2`."""

    def __init__(self, simulation: Simulation, conductor: Conductor) -> None:
        """Serve one simulation."""
        self._simulation = simulation
        self._conductor = conductor
        self._workload = WorkloadApi()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes: all paths and methods, since the gateway authenticates before it routes."""
        return [web.route("*", prefix + "/{path:.*}", self.any) for prefix in ("/v1", "/api/v1", "/api/v2")]

    async def any(self, request: web.Request) -> web.StreamResponse:
        """Serve one request."""
        presented = self._presented(request)
        subject = self._subject(presented)
        sent = await read_sent(request)
        return await self._conductor.perform(
            request, subject, lambda call: self._settled(call, self._answer(request, sent, presented))
        )

    def _settled(self, call: Call, answer: web.Response) -> web.Response:
        outcome = Outcome.ACCEPTED if answer.status < HTTPStatus.BAD_REQUEST else Outcome.REFUSED
        self._simulation.ledger.settle(call, outcome)
        return answer

    def _answer(self, request: web.Request, sent: Sent, presented: Presented) -> web.Response:
        if presented.kind == "malformed":
            text = "Invalid request: malformed authorization header"
            return answers.api_error(HTTPStatus.BAD_REQUEST, text)
        user = self._user(presented)
        if user is None:
            return self._unauthorized(presented)
        company = self._simulation.world.companies[user.company_id]
        if not company.is_open:
            return answers.api_error(HTTPStatus.PAYMENT_REQUIRED, "Payment required")
        found = self._workload.answer(request, sent, user, company)
        return self._users_me(request, user, company) if found is None else found

    def _users_me(self, request: web.Request, user: User, company: Company) -> web.Response:
        if request.match_info["path"] != "users/me" or request.path.startswith("/api/v2"):
            return answers.api_error(HTTPStatus.NOT_FOUND, "Unknown method .")
        if request.method != "GET":
            return answers.api_error(HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed")
        return answers.users_me(user, company)

    def _user(self, presented: Presented) -> User | None:
        """Return the user of an accepted credential."""
        simulation = self._simulation
        if presented.kind == "api_token":
            return simulation.world.user_of_api_token(presented.value)
        token = simulation.grants.access_tokens.get(presented.value)
        if token is None or not simulation.grants.honours(token, now=simulation.now()):
            return None
        return simulation.world.users[token.grant.company_id, token.grant.user_id]

    def _unauthorized(self, presented: Presented) -> web.Response:
        """Respond to a token that was issued once as documented, and to anything else as the gateway was seen to."""
        if presented.value in self._simulation.grants.access_tokens:
            return answers.api_error(HTTPStatus.UNAUTHORIZED, "Invalid token: access_token is invalid")
        return answers.gateway_unauthorized()

    def _presented(self, request: web.Request) -> Presented:
        header = request.headers.get("x-api-token")
        query = request.query.get("api_token") if self._simulation.switches.api_token_in_query else None
        if header or query:
            return Presented("api_token", header or query or "")
        authorization = request.headers.get("Authorization")
        if authorization is None:
            return Presented(None)
        if not authorization.lower().startswith(BEARER):
            return Presented("malformed")
        return Presented("access_token", authorization[len(BEARER) :].strip())

    def _subject(self, presented: Presented) -> Subject:
        issued = self._simulation.grants.access_tokens.get(presented.value)
        user = self._simulation.world.user_of_api_token(presented.value)
        owner = issued.grant if issued else None
        return Subject(
            endpoint=Endpoint.USERS_ME,
            client_id=owner.client_id if owner else None,
            credential=presented.kind,
            digest=digest_of(presented.value) if presented.value else None,
            grant_id=owner.id if owner else None,
            company_id=owner.company_id if owner else user.company_id if user else None,
            user_id=owner.user_id if owner else user.id if user else None,
        )
