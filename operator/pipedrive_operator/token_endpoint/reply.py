"""The answer to a token request: RFC 6749 section 4.4 as a function from a request to a response.

No connection is handled here, and nothing is read except the two folders.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

from pipedrive_operator.token_endpoint.clients import Clients
from pipedrive_operator.token_endpoint.tokens import MountedToken, Tokens

RETRY_AFTER: Final = 5
"""In seconds: when to request a token again that is missing or has expired. A published token arrives in seconds."""
_MOST_FIELDS: Final = 32
_FORM: Final = "application/x-www-form-urlencoded"
_NOT_A_FORM: Final = f"the body must be {_FORM}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRequest:
    """A POST to the endpoint."""

    content_type: str
    authorization: str | None = field(default=None, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReply:
    """The response to a token request: JSON, never to be stored."""

    status: HTTPStatus
    body: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        """Return the body as bytes."""
        return json.dumps(self.body).encode()


class _RefusedError(Exception):
    """A request that RFC 6749 section 5.2 refuses."""

    def __init__(
        self, status: HTTPStatus, error: str, description: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(description)
        self.reply = TokenReply(
            status=status, body={"error": error, "error_description": description}, headers=headers or {}
        )


def reply(request: EndpointRequest, *, clients: Clients, tokens: Tokens, now: datetime) -> TokenReply:
    """Answer a token request."""
    try:
        fields = _fields(request)
        client_id = _authenticated(request.authorization, fields, clients)
        if fields.get("client_id", client_id) != client_id:
            raise _invalid("client_id names another client than the Authorization header")
        _require_client_credentials(fields)
        return _token_reply(client_id, tokens.read(client_id), now)
    except _RefusedError as refused:
        return refused.reply


def _fields(request: EndpointRequest) -> dict[str, str]:
    if request.content_type.split(";")[0].strip().lower() != _FORM:
        raise _invalid(_NOT_A_FORM)
    try:
        pairs = parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise _invalid(_NOT_A_FORM) from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _invalid("a parameter is given twice")
    return fields


def _authenticated(authorization: str | None, fields: Mapping[str, str], clients: Clients) -> str:
    """Return the client id, from HTTP Basic or from the body (RFC 6749 section 2.3.1)."""
    offered = [*_basic(authorization), *_in_body(fields)]
    if authorization is not None and fields.get("client_secret"):
        raise _invalid("the client's secret is given twice: in the header and in the body")
    for client_id, secret in offered:
        if clients.accepts(client_id, secret):
            return client_id
    challenge = {"WWW-Authenticate": 'Basic realm="pipedrive-operator token-endpoint"'}
    raise _RefusedError(HTTPStatus.UNAUTHORIZED, "invalid_client", "unknown client, or wrong client secret", challenge)


def _basic(authorization: str | None) -> list[tuple[str, str]]:
    """Return the pairs that a header may mean: RFC 6749 form-encodes both parts, and many clients do not."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        client_id, separator, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return []
    if not separator:
        return []
    return [(client_id, secret), (unquote_plus(client_id), unquote_plus(secret))]


def _in_body(fields: Mapping[str, str]) -> list[tuple[str, str]]:
    client_id, secret = fields.get("client_id", ""), fields.get("client_secret", "")
    return [(client_id, secret)] if client_id and secret else []


def _require_client_credentials(fields: Mapping[str, str]) -> None:
    grant_type = fields.get("grant_type")
    if not grant_type:
        raise _invalid("grant_type is missing: it must be client_credentials")
    if grant_type != "client_credentials":
        description = "grant_type must be client_credentials: the operator keeps the refresh token"
        raise _RefusedError(HTTPStatus.BAD_REQUEST, "unsupported_grant_type", description)


def _token_reply(client_id: str, token: MountedToken | None, now: datetime) -> TokenReply:
    seconds = token.seconds_left(now) if token is not None else 0
    if token is None or seconds <= 0:
        problem = "has expired" if token is not None else "is not mounted"
        description = f"the access token of {client_id} {problem}: check that its PipedriveCredential is Ready"
        headers = {"Retry-After": str(RETRY_AFTER)}
        raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "temporarily_unavailable", description, headers)
    optional = {"api_domain": token.api_domain, "scope": token.scope}
    body = {
        "access_token": token.access_token,
        "token_type": token.token_type,
        "expires_in": seconds,
        **{name: value for name, value in optional.items() if value is not None},
    }
    return TokenReply(status=HTTPStatus.OK, body=body)


def _invalid(description: str) -> _RefusedError:
    return _RefusedError(HTTPStatus.BAD_REQUEST, "invalid_request", description)
