"""Checks a token response (RFC 6749 section 5.1) completely before any of it is used. Pure.

An error names the field that is wrong and never quotes it. It never means a refusal: the refresh token that was sent
may already be unusable.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from pipedrive_operator.adapters.pipedrive.api_domain import AllowedApiDomains
from pipedrive_operator.core.grant.grant import TokenResponse, split_scope
from pipedrive_operator.core.values.errors import RefreshUncertain, TokenResponseUnusable
from pipedrive_operator.core.values.secret_value import SecretValue

_VISIBLE: Final = re.compile(r"[\x20-\x7e]*")
"""The characters of tokens and codes (VSCHAR, RFC 6749 appendix A); control characters are not among them."""
_LONGEST_LIFETIME: Final = timedelta(days=365)
"""A longer lifetime is cut to this: the token itself can be used."""
_BEARER: Final = "Bearer"

_INCOMPLETE: Final = "Pipedrive's response to the refresh is not a complete token response"

Fields = Mapping[str, object]


class _Malformed(Exception):
    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"{field} {fault}")


def read_token_response(fields: Fields | None, domains: AllowedApiDomains) -> TokenResponse:
    """Read the JSON object of a response with status 200.

    Raises:
        RefreshUncertain: it is not an object, or its refresh token is missing or malformed.
        TokenResponseUnusable: another field is; the new refresh token must be kept, as the old one is unusable.
    """
    try:
        refresh_token = _secret(_object(fields), "refresh_token")
    except _Malformed as fault:
        message = (
            f"{_INCOMPLETE}: {fault}. The operator tries again after a pause. If the refresh token is refused "
            "then, consent again"
        )
        raise RefreshUncertain(message) from fault
    try:
        return _complete(_object(fields), refresh_token, domains)
    except _Malformed as fault:
        message = f"{_INCOMPLETE}: {fault}. The operator keeps its refresh token, and refreshes again after a pause"
        raise TokenResponseUnusable(message, refresh_token) from fault


def _object(fields: Fields | None) -> Fields:
    if fields is None:
        raise _Malformed("the body", "is not a JSON object")
    return fields


def _complete(fields: Fields, refresh_token: SecretValue, domains: AllowedApiDomains) -> TokenResponse:
    return TokenResponse(
        access_token=_secret(fields, "access_token"),
        refresh_token=refresh_token,
        token_type=_token_type(fields),
        expires_in=_lifetime(fields),
        scope=split_scope(_text(fields, "scope")) if fields.get("scope") else None,
        api_domain=_api_domain(fields, domains),
    )


def _secret(fields: Fields, key: str) -> SecretValue:
    value = SecretValue(_text(fields, key))
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
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = float(value)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise _Malformed("expires_in", "is missing or not a number of seconds")
    if not value >= 1:  # NaN is not
        raise _Malformed("expires_in", "is less than a second")
    return timedelta(seconds=min(value, _LONGEST_LIFETIME.total_seconds()))


def _api_domain(fields: Fields, domains: AllowedApiDomains) -> str:
    value = _text(fields, "api_domain")
    if not domains.allow(value):
        raise _Malformed("api_domain", "does not match pipedrive.allowedApiDomains")
    return value


def _text(fields: Fields, key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise _Malformed(key, "is missing or not text")
    if not _VISIBLE.fullmatch(value):
        raise _Malformed(key, "contains characters that are not allowed in it")
    return value
