"""What it means when the token endpoint does not answer with 200. Pure.

Decided by the `error` of the JSON rather than by the status: Pipedrive documents 400 for a wrong client, and the
library that its messages come from answers 401. A grant is called refused only where the answer says so by name.
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from pipedrive_operator.adapters.pipedrive.answer import HttpAnswer
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    ClientRejected,
    ConsentRequired,
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    Trouble,
)

_GRANT_REFUSED: Final = (
    "Pipedrive refused the refresh token ({}): it was replaced, revoked, or not used for 60 days, or the app was "
    "uninstalled. Consent again, or write a newer refresh token to Vault"
)
_CLIENT_REFUSED: Final = (
    "Pipedrive refused the app's client id or secret ({}); the grant itself was not refused. Correct them in Vault; "
    "no new consent is needed"
)
_APP_MAY_NOT_REFRESH: Final = (
    "Pipedrive does not let this app refresh ({}); the grant itself was not refused. Correct the app in Pipedrive's "
    "Developer Hub, or name another client"
)
_REQUEST_REFUSED: Final = (
    "Pipedrive refused the refresh request as such ({}), which says nothing against the grant. It is tried again; if "
    "this lasts, check pipedrive.oauthUrl and the operator's version"
)
_BY_ERROR_CODE: Final[Mapping[str, tuple[type[Trouble], str]]] = MappingProxyType(
    {
        "invalid_grant": (ConsentRequired, _GRANT_REFUSED),
        "invalid_client": (ClientRejected, _CLIENT_REFUSED),
        "unauthorized_client": (ClientRejected, _APP_MAY_NOT_REFRESH),
    }
)
_OTHER_ERROR_CODE: Final = (PipedriveUnavailable, _REQUEST_REFUSED)


def refresh_refusal(answer: HttpAnswer, quoted: str) -> Trouble:
    """Return what an answer means; `quoted` is what may be shown of it."""
    match answer.status:
        case HTTPStatus.TOO_MANY_REQUESTS:
            message = f"Pipedrive turned the refresh away because of too many requests ({quoted}); it is tried again"
            return RateLimited(message, retry_after=answer.retry_after)
        case HTTPStatus.PAYMENT_REQUIRED:
            return account_not_open(quoted)
        case HTTPStatus.FORBIDDEN if answer.fields is None:
            return blocked(answer, quoted)
        case status if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and answer.error_code:
            kind, message = _BY_ERROR_CODE.get(answer.error_code, _OTHER_ERROR_CODE)
            return kind(message.format(quoted))
        case _:
            return _uncertain(answer, quoted)


def account_not_open(quoted: str) -> AccountNotOpen:
    """Tell of a 402."""
    return AccountNotOpen(
        f"The company's Pipedrive account is not open ({quoted}): a trial has ended, or a payment is due. Settle the "
        "subscription; the credential then goes on by itself"
    )


def blocked(answer: HttpAnswer, quoted: str) -> RateLimited:
    """Tell of a 403 with a page: Pipedrive's edge blocks, unread, who goes on after 429s."""
    message = (
        f"Pipedrive's edge blocks the operator with a page instead of an answer ({quoted}), as it does after too many "
        "requests. Cut other use of the API from this address; it is tried again after a pause"
    )
    return RateLimited(message, retry_after=answer.retry_after)


def _uncertain(answer: HttpAnswer, quoted: str) -> RefreshUncertain:
    message = (
        f"The refresh was sent, and Pipedrive's answer ({quoted}) does not tell whether it was carried out. It is "
        "tried again after a pause. Should the refresh token then be refused, consent again"
    )
    return RefreshUncertain(message, retry_after=answer.retry_after)
