"""The token and revoke endpoints of oauth.pipedrive.com. What a token may do is decided in `grants`."""

import base64
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from aiohttp import web

from testbed.pipedrive import answers
from testbed.pipedrive.conductor import Conductor
from testbed.pipedrive.faults import Endpoint, Subject
from testbed.pipedrive.issued import TokenPair
from testbed.pipedrive.ledger import Call, Outcome
from testbed.pipedrive.refusals import Refusal, RefusedError
from testbed.pipedrive.simulation import Simulation
from testbed.pipedrive.tokens import digest_of, whole_digest_of
from testbed.pipedrive.world import App

FORM: Final = "application/x-www-form-urlencoded"
Form = Mapping[str, str]


class OAuthEndpoints:
    """`POST /oauth/token` and `POST /oauth/revoke`."""

    def __init__(self, simulation: Simulation, conductor: Conductor) -> None:
        """Serve one simulation."""
        self._simulation = simulation
        self._conductor = conductor

    def routes(self) -> list[web.RouteDef]:
        """Return the routes; the refresh has a path of its own in the vendor's OpenAPI document."""
        return [
            web.post("/oauth/token", self.token),
            web.post("/oauth/token/", self.token),
            web.post("/oauth/revoke", self.revoke),
        ]

    async def token(self, request: web.Request) -> web.StreamResponse:
        """Serve both grant types."""
        form = await _form(request)
        subject = self._subject(Endpoint.TOKEN, request, form)
        return await self._conductor.perform(request, subject, lambda call: self._token(request, form, call))

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """Serve RFC 7009: 200 for a revoked token and for an unknown one."""
        form = await _form(request)
        subject = self._subject(Endpoint.REVOKE, request, form)
        return await self._conductor.perform(request, subject, lambda call: self._revoke(request, form, call))

    def _token(self, request: web.Request, form: Form, call: Call) -> web.Response:
        try:
            pair = self._issue(self._client(request, form), form, call)
        except RefusedError as refused:
            return self._refuse(refused.refusal, call)
        call.issued_access, call.issued_grant = digest_of(pair.access.value), pair.refresh.grant.id
        call.issued_lineage = whole_digest_of(pair.refresh.value)
        self._simulation.ledger.settle(call, Outcome.ACCEPTED, issued=digest_of(pair.refresh.value))
        return web.json_response(self._simulation.token_answer(pair))

    def _revoke(self, request: web.Request, form: Form, call: Call) -> web.Response:
        try:
            app = self._client(request, form)
            if not form.get("token"):
                raise RefusedError(Refusal.MISSING_TOKEN)  # noqa: TRY301  all refusals are handled in one place
        except RefusedError as refused:
            return self._refuse(refused.refusal, call)
        # The vendor's own JavaScript client percent-encodes the token twice.
        if self._simulation.grants.revoke(form["token"], app) is None:
            self._simulation.grants.revoke(unquote(form["token"]), app)
        self._simulation.ledger.settle(call, Outcome.ACCEPTED)
        return web.Response()

    def _refuse(self, refusal: Refusal, call: Call) -> web.Response:
        self._simulation.ledger.settle(call, Outcome.REFUSED, error=refusal.error)
        return answers.refused(refusal, bad_client_status=self._simulation.switches.bad_client_status)

    def _client(self, request: web.Request, form: Form) -> App:
        if request.content_type != FORM:
            raise RefusedError(Refusal.CONTENT_TYPE)
        client_id, client_secret = _client_credentials(request, form)
        if not client_id or not client_secret:
            raise RefusedError(Refusal.CLIENT_MISSING)
        app = self._simulation.world.apps.get(client_id)
        if app is None or app.client_secret != client_secret:
            raise RefusedError(Refusal.CLIENT_INVALID)
        return app

    def _issue(self, app: App, form: Form, call: Call) -> TokenPair:
        grants, now = self._simulation.grants, self._simulation.now()
        match form.get("grant_type"):
            case None | "":
                raise RefusedError(Refusal.MISSING_GRANT_TYPE)
            case "authorization_code":
                _check_redirect(form.get("redirect_uri", ""), app)
                return grants.exchange(form.get("code", ""), app, now=now)
            case "refresh_token":
                presented = grants.refresh_tokens.get(form.get("refresh_token", ""))
                call.replayed = presented is not None and presented.replaced_at is not None
                return grants.refresh(form.get("refresh_token", ""), app, now=now)
            case _:
                raise RefusedError(Refusal.UNSUPPORTED_GRANT_TYPE)

    def _subject(self, endpoint: Endpoint, request: web.Request, form: Form) -> Subject:
        kind, value = _presented(endpoint, form)
        grants = self._simulation.grants
        refresh = grants.refresh_tokens.get(value)
        issued = refresh or grants.access_tokens.get(value)
        owner = issued.grant if issued else grants.codes.get(value)
        return Subject(
            endpoint=endpoint,
            client_id=_client_credentials(request, form)[0] or None,
            grant_type=form.get("grant_type"),
            credential=kind,
            digest=digest_of(value) if value else None,
            grant_id=issued.grant.id if issued else None,
            generation=refresh.generation if refresh else None,
            company_id=owner.company_id if owner else None,
            user_id=owner.user_id if owner else None,
        )


async def _form(request: web.Request) -> Form:
    """Return the form's text fields; nothing for any other kind of body."""
    if request.content_type != FORM:
        return {}
    return {key: value for key, value in (await request.post()).items() if isinstance(value, str)}


def _client_credentials(request: web.Request, form: Form) -> tuple[str, str]:
    """Return client id and secret from Basic authentication, else from the body; empty where missing."""
    header = request.headers.get("Authorization")
    if header is None:
        return form.get("client_id", ""), form.get("client_secret", "")
    scheme, _, encoded = header.partition(" ")
    try:
        client_id, _, client_secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return (client_id, client_secret) if scheme.lower() == "basic" else ("", "")


def _check_redirect(redirect_uri: str, app: App) -> None:
    if not urlsplit(redirect_uri).scheme:
        raise RefusedError(Refusal.REDIRECT_NOT_A_URI)
    if redirect_uri != app.redirect_uri:
        raise RefusedError(Refusal.REDIRECT_INVALID)


def _presented(endpoint: Endpoint, form: Form) -> tuple[str | None, str]:
    """Return the kind and the value of the token or code in a form."""
    if endpoint is Endpoint.REVOKE:
        # Not "refresh_token": a revocation is no use of one.
        return "revoked_token", form.get("token", "")
    fields = {"authorization_code": "code", "refresh_token": "refresh_token"}
    grant_type = form.get("grant_type", "")
    return (grant_type, form.get(fields[grant_type], "")) if grant_type in fields else (None, "")
