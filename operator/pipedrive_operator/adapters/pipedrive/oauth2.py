"""A typed façade over authlib: builds token requests (RFC 6749 sections 2.3.1, 4.1.3 and 6). Nothing is sent here.

It uses only those parts of authlib that load no HTTP library: the httpx integration has moved to another library, and
accepts any JSON with a status below 500 as a token (https://github.com/authlib/authlib/issues/917).
"""

from dataclasses import dataclass
from typing import Final

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_token_request

from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.values.secret_value import SecretValue

FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request to the token endpoint. It holds secrets and is never printed."""

    headers: dict[str, str]
    body: str

    def __repr__(self) -> str:
        """Hide everything."""
        return "TokenRequest(hidden)"


def refresh_request(url: str, client: ClientCredentials, refresh_token: SecretValue) -> TokenRequest:
    """Build the request that spends a refresh token, with the client's credentials as HTTP Basic."""
    body = prepare_token_request("refresh_token", "", refresh_token=refresh_token.reveal())
    return _authenticated(url, client, body)


def code_request(url: str, client: ClientCredentials, code: SecretValue, redirect_uri: str) -> TokenRequest:
    """Build the request that exchanges an authorization code; `redirect_uri` is that of the authorization request."""
    body = prepare_token_request("authorization_code", "", redirect_uri=redirect_uri, code=code.reveal())
    return _authenticated(url, client, body)


def _authenticated(url: str, client: ClientCredentials, body: str) -> TokenRequest:
    headers = {"Content-Type": FORM, "Accept": "application/json"}
    auth = ClientAuth(client.client_id, client.client_secret.reveal(), "client_secret_basic")
    _, headers, body = auth.prepare("POST", url, headers, body)
    return TokenRequest(headers=headers, body=body)
