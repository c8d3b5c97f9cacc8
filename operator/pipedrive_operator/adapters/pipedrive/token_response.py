"""Checks a token response (RFC 6749 section 5.1) completely before any of it is used. Pure.

An error names the field that is wrong, and quotes no value except that of `api_domain`. It never means a refusal: the
refresh token that was sent may already be unusable.
"""

import re
import sys
from datetime import timedelta
from typing import Final

from pipedrive_operator.adapters.pipedrive.api_domain import SETTING, AllowedApiDomains
from pipedrive_operator.adapters.pipedrive.quoted_error import quote_value
from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.adapters.pipedrive.token_body import Fields, find_token_fields
from pipedrive_operator.core.grant.consent import AFTER_UNKNOWN_OUTCOME
from pipedrive_operator.core.grant.document import LONGEST_VALUE
from pipedrive_operator.core.grant.grant import LONGEST_SCOPE, TokenResponse, split_scope
from pipedrive_operator.core.values.consent_reasons import OPEN_AGAIN
from pipedrive_operator.core.values.errors import RefreshUncertain, TokenResponseUnusable
from pipedrive_operator.core.values.secret_value import SecretValue

_VISIBLE: Final = re.compile(r"[\x20-\x7e]*")
"""The characters of tokens and codes (VSCHAR, RFC 6749 appendix A); control characters are not among them."""
_AROUND: Final = "".join(map(chr, range(0x21))) + "\x7f\x85\xa0\u200b\u2028\u2029\ufeff"
"""White space, control characters and byte order marks, which belong to no field and are removed around it."""
_LONGEST_LIFETIME: Final = timedelta(days=365)
"""A longer lifetime is cut to this: the token itself can be used."""
_BEARER: Final = "Bearer"

_INCOMPLETE: Final = "Pipedrive's response to the refresh is not a complete token response"

SUCCESSFUL: Final = range(200, 300)
"""Statuses of a token response; RFC 6749 asks for 200, and some servers send 201."""


class _Malformed(Exception):
    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"{field} {fault}")


def is_readable(response: PipedriveResponse) -> bool:
    """Return whether the part of a response that arrived before the connection broke says something definite."""
    fields = find_token_fields(response.body)
    return response.fields is not None or (
        response.status in SUCCESSFUL and fields is not None and bool(fields.get("refresh_token"))
    )


def is_token_response(response: PipedriveResponse) -> bool:
    """Return whether a response should hold tokens: it is successful, and not an error that a server sends with 200."""
    if response.status not in SUCCESSFUL:
        return False
    fields = find_token_fields(response.body) or {}
    has_tokens = bool(fields.get("refresh_token") or fields.get("access_token"))
    return has_tokens or not (fields.get("error") or fields.get("message"))


def read_token_response(response: PipedriveResponse, sent: SecretValue, domains: AllowedApiDomains) -> TokenResponse:
    """Read a response with a successful status to a refresh that sent the refresh token `sent`.

    Raises:
        RefreshUncertain: it holds no tokens, or a malformed refresh token.
        TokenResponseUnusable: another field is malformed; the refresh token must be kept, as `sent` may be unusable.
    """
    fields = find_token_fields(response.body)
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
    """Read a response with a successful status to an authorization code.

    Raises:
        RefreshUncertain: it has no usable refresh token, so that no grant can be kept.
        TokenResponseUnusable: another field is malformed; the refresh token must be kept.
    """
    fields = find_token_fields(response.body) or {}
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
        scope=split_scope(_text(fields, "scope", longest=LONGEST_SCOPE)) if fields.get("scope") else None,
        api_domain=_api_domain(fields, domains),
    )


def _secret(fields: Fields, key: str, *, longest: int = LONGEST_VALUE) -> SecretValue:
    value = SecretValue(_text(fields, key, longest=longest))
    if not value:
        raise _Malformed(key, "is empty")
    return value


def _token_type(fields: Fields) -> str:
    """Check the type, and return its usual spelling; Pipedrive's own pages have two."""
    if _text(fields, "token_type").lower() != _BEARER.lower():
        raise _Malformed("token_type", "is not Bearer")
    return _BEARER


def _lifetime(fields: Fields) -> timedelta:
    value = fields.get("expires_in")
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = float(value)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise _Malformed("expires_in", "is missing or not a number of seconds")
    if not value >= 1:  # NaN is not
        raise _Malformed("expires_in", "is less than a second")
    return timedelta(seconds=min(value, _LONGEST_LIFETIME.total_seconds()))


def _api_domain(fields: Fields, domains: AllowedApiDomains) -> str:
    value = _text(fields, "api_domain")
    allowed = domains.allowed(value)
    if allowed is None:
        tokens = (SecretValue(str(fields.get(key) or "")) for key in ("access_token", "refresh_token"))
        raise _Malformed("api_domain", f"is {quote_value(value, *tokens)}, which does not match {SETTING}")
    return allowed


def _text(fields: Fields, key: str, *, longest: int = LONGEST_VALUE) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise _Malformed(key, "is missing or not text")
    value = value.strip(_AROUND)
    if len(value) > longest:
        raise _Malformed(key, f"has more than {longest:,} characters")
    if not _VISIBLE.fullmatch(value):
        raise _Malformed(key, "contains characters that are not allowed in it")
    return value
