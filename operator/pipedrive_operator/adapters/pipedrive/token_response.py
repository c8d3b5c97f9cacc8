"""Checks a token response (RFC 6749 section 5.1) completely before any of it is used. Pure.

An error names the field that is wrong, and quotes no value except that of `api_domain`. It never means a refusal: the
refresh token that was sent may already be unusable.
"""

import math
import re
import sys
from datetime import timedelta
from typing import Final

from pipedrive_operator.adapters.pipedrive.api_domain import SETTING, AllowedApiDomains
from pipedrive_operator.adapters.pipedrive.quoted_error import quote_value
from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.adapters.pipedrive.token_body import Fields, find_token_fields, has_new_refresh_token, stripped
from pipedrive_operator.core.grant.consent import AFTER_UNKNOWN_OUTCOME
from pipedrive_operator.core.grant.document import LONGEST_VALUE
from pipedrive_operator.core.grant.grant import LONGEST_SCOPE, TokenResponse, split_scope
from pipedrive_operator.core.grant.token import LONGEST_LIFETIME
from pipedrive_operator.core.values.consent_reasons import OPEN_AGAIN
from pipedrive_operator.core.values.errors import RefreshUncertain, TokenResponseUnusable
from pipedrive_operator.core.values.secret_value import SecretValue

_VISIBLE: Final = re.compile(r"[\x20-\x7e]*")
"""The characters of tokens and codes (VSCHAR, RFC 6749 appendix A); control characters are not among them."""
_DOCUMENTED_LIFETIME: Final = timedelta(hours=1)
"""Pipedrive's documentation: an access token expires after 60 minutes. It counts if a response states no lifetime.

RFC 6749 section 5.1 makes `expires_in` optional and refers to the server's documentation. A token that was refused for
the lack of it would be replaced by the next refresh, and that one by another, without end.
"""
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]*)?")
_BEARER: Final = "Bearer"
"""The one type that Pipedrive issues."""

_INCOMPLETE: Final = "Pipedrive's response to the refresh is not a complete token response"

SUCCESSFUL: Final = range(200, 300)
"""Statuses of a token response; RFC 6749 asks for 200, and some servers send 201."""


class _Malformed(Exception):
    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"{field} {fault}")


def is_readable(response: PipedriveResponse) -> bool:
    """Return whether the part of a response that arrived before the connection broke says something definite."""
    fields = _token_fields(response, None) or {}
    may_hold_tokens = response.status in SUCCESSFUL or bool(fields.get("access_token"))
    return response.fields is not None or (may_hold_tokens and bool(fields.get("refresh_token")))


def is_token_response(response: PipedriveResponse, sent: SecretValue | None) -> bool:
    """Return whether a response should hold tokens.

    Both tokens count, whatever the status is and whatever else the response says: a proxy may have changed the status.
    Without them, the status is successful, and the response is not an error that a server sends with 200. `sent` is the
    refresh token of the request, which an error may repeat.
    """
    fields = _token_fields(response, sent) or {}
    has_access_token, has_new = bool(fields.get("access_token")), has_new_refresh_token(fields, sent)
    if response.status not in SUCCESSFUL:
        return has_access_token and has_new
    return has_access_token or has_new or not (fields.get("error") or fields.get("message"))


def read_token_response(response: PipedriveResponse, sent: SecretValue, domains: AllowedApiDomains) -> TokenResponse:
    """Read a token response to a refresh that sent the refresh token `sent`.

    Raises:
        RefreshUncertain: it holds no tokens, or a malformed refresh token.
        TokenResponseUnusable: another field is malformed; the refresh token must be kept, as `sent` may be unusable.
    """
    fields = _token_fields(response, sent)
    try:
        refresh_token = _refresh_token(fields, sent)
    except _Malformed as fault:
        message = f"{_INCOMPLETE}: {fault}. {AFTER_UNKNOWN_OUTCOME}"
        raise RefreshUncertain(message) from fault
    try:
        return _complete(fields or {}, refresh_token, domains)
    except _Malformed as fault:
        message = f"{_INCOMPLETE}: {fault}. The operator keeps the refresh token in it, and sends that after a pause"
        raise TokenResponseUnusable(message, refresh_token) from fault


def read_first_token_response(response: PipedriveResponse, domains: AllowedApiDomains) -> TokenResponse:
    """Read a token response to an authorization code.

    Raises:
        RefreshUncertain: it has no usable refresh token, so that no grant can be kept.
        TokenResponseUnusable: another field is malformed; the refresh token must be kept.
    """
    fields = _token_fields(response, None) or {}
    try:
        refresh_token = _secret(fields, "refresh_token")
    except _Malformed as fault:
        message = (
            f"Pipedrive's response to the authorization code is not a complete token response: {fault}. A code works "
            f"once, so it is not sent again: {OPEN_AGAIN}"
        )
        raise RefreshUncertain(message) from fault
    try:
        return _complete(fields, refresh_token, domains)
    except _Malformed as fault:
        message = (
            f"Pipedrive's response to the authorization code is not a complete token response: {fault}. The operator "
            "keeps its refresh token, and refreshes it once to get a usable access token"
        )
        raise TokenResponseUnusable(message, refresh_token) from fault


def _token_fields(response: PipedriveResponse, sent: SecretValue | None) -> Fields | None:
    return find_token_fields(response.body, sent, is_whole=response.is_whole)


def _refresh_token(fields: Fields | None, sent: SecretValue) -> SecretValue:
    """Return the new refresh token, or `sent` if the response issues an access token only (RFC 6749 section 6)."""
    if fields is None:
        raise _Malformed("the body", "is not a JSON object")
    if not fields.get("refresh_token") and fields.get("access_token"):
        _secret(fields, "access_token")
        return sent
    return _secret(fields, "refresh_token", longest=sys.maxsize)  # refusing it would lose it


def _complete(fields: Fields, refresh_token: SecretValue, domains: AllowedApiDomains) -> TokenResponse:
    return TokenResponse(
        access_token=_secret(fields, "access_token"),
        refresh_token=refresh_token,
        token_type=_token_type(fields),
        expires_in=_lifetime(fields),
        scope=_scope(fields),
        api_domain=_api_domain(fields, domains),
    )


def _secret(fields: Fields, key: str, *, longest: int = LONGEST_VALUE) -> SecretValue:
    value = fields.get(key)
    if not isinstance(value, str):
        raise _Malformed(key, "is missing or not text")
    value = stripped(value)
    if not value:
        raise _Malformed(key, "is empty")
    if len(value) > longest:
        raise _Malformed(key, f"has more than {longest:,} characters")
    if not _VISIBLE.fullmatch(value):
        raise _Malformed(key, "contains characters that are not allowed in it")
    return SecretValue(value)


def _token_type(fields: Fields) -> str:
    """Check the type, and return its usual spelling; Pipedrive's own pages have two."""
    stated = _text(fields, "token_type")
    if stated is not None and stated.lower() != _BEARER.lower():
        raise _Malformed("token_type", "is not Bearer")
    return _BEARER


def _lifetime(fields: Fields) -> timedelta:
    """Return the lifetime, or the documented one if none can be read."""
    value = fields.get("expires_in")
    if isinstance(value, str) and _NUMBER.fullmatch(stripped(value)):
        value = float(stripped(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _DOCUMENTED_LIFETIME
    if isinstance(value, float) and math.isnan(value):
        return _DOCUMENTED_LIFETIME
    if value < 1:
        raise _Malformed("expires_in", "is less than a second")
    return timedelta(seconds=min(value, LONGEST_LIFETIME.total_seconds()))


def _scope(fields: Fields) -> frozenset[str] | None:
    """Return the scope, a text or a list of texts; None if none can be read, so that it stays as it was."""
    value = fields.get("scope")
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = ",".join(value)
    if not isinstance(value, str) or len(value) > LONGEST_SCOPE or not _VISIBLE.fullmatch(stripped(value)):
        return None
    return split_scope(stripped(value)) or None


def _api_domain(fields: Fields, domains: AllowedApiDomains) -> str | None:
    """Return the address; None if there is none, so that it stays as it was. A token is sent to no other address."""
    value = _text(fields, "api_domain")
    if value is None:
        return None
    allowed = domains.allowed(value)
    if allowed is None:
        tokens = (SecretValue(str(fields.get(key) or "")) for key in ("access_token", "refresh_token"))
        raise _Malformed("api_domain", f"is {quote_value(value, *tokens)}, which does not match {SETTING}")
    return allowed


def _text(fields: Fields, key: str) -> str | None:
    value = fields.get(key)
    return (stripped(value) or None) if isinstance(value, str) else None
