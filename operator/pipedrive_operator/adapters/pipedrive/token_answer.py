"""The complete check of a token answer (RFC 6749 section 5.1) before any of it is believed.

Pure. A complaint names the field and never quotes it. Every complaint is an unknown outcome: the token may be spent.
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
"""Whatever an answer claims beyond this is cut: the token in it is good all the same."""
_BEARER: Final = "Bearer"

_INCOMPLETE: Final = "Pipedrive answered the refresh with HTTP 200, and not with a complete token"

Fields = Mapping[str, object]


class _Complaint(Exception):
    def __init__(self, what: str, complaint: str) -> None:
        super().__init__(f"{what} {complaint}")


def read_token_answer(fields: Fields | None, domains: AllowedApiDomains) -> TokenResponse:
    """Read the JSON object of an answer with status 200.

    Raises:
        RefreshUncertain: it is not one, or its refresh token is missing or wrong.
        TokenResponseUnusable: something else is; the refresh token must be kept, as the old one is spent.
    """
    try:
        refresh_token = _secret(_object(fields), "refresh_token")
    except _Complaint as complaint:
        message = (
            f"{_INCOMPLETE}: {complaint}. The refresh token may be spent; it is tried again after a pause. Should it "
            "then be refused, consent again"
        )
        raise RefreshUncertain(message) from complaint
    try:
        return _complete(_object(fields), refresh_token, domains)
    except _Complaint as complaint:
        message = f"{_INCOMPLETE}: {complaint}. Its new refresh token is kept, and sent after a pause"
        raise TokenResponseUnusable(message, refresh_token) from complaint


def _object(fields: Fields | None) -> Fields:
    if fields is None:
        raise _Complaint("the body", "is not a JSON object")
    return fields


def _complete(fields: Fields, refresh_token: SecretValue, domains: AllowedApiDomains) -> TokenResponse:
    return TokenResponse(
        access_token=_secret(fields, "access_token"),
        refresh_token=refresh_token,
        token_type=_token_type(fields),
        expires_in=_lifetime(fields),
        scope=split_scope(_text(fields, "scope")) if fields.get("scope") else frozenset(),
        api_domain=_api_domain(fields, domains),
    )


def _secret(fields: Fields, key: str) -> SecretValue:
    value = SecretValue(_text(fields, key))
    if not value:
        raise _Complaint(key, "is empty")
    return value


def _token_type(fields: Fields) -> str:
    """Check the type, and return its usual spelling: Pipedrive's own pages have two."""
    if _text(fields, "token_type").lower() != _BEARER.lower():
        raise _Complaint("token_type", "is not Bearer")
    return _BEARER


def _lifetime(fields: Fields) -> timedelta:
    value = fields.get("expires_in")
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = float(value)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise _Complaint("expires_in", "is missing or not a number of seconds")
    if not value >= 1:  # NaN is not
        raise _Complaint("expires_in", "is not a second at least")
    return timedelta(seconds=min(value, _LONGEST_LIFETIME.total_seconds()))


def _api_domain(fields: Fields, domains: AllowedApiDomains) -> str:
    value = _text(fields, "api_domain")
    if not domains.allow(value):
        raise _Complaint("api_domain", "is not among pipedrive.allowedApiDomains")
    return value


def _text(fields: Fields, key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise _Complaint(key, "is missing or not text")
    if not _VISIBLE.fullmatch(value):
        raise _Complaint(key, "holds characters that are not allowed in it")
    return value
