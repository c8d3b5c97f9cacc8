"""What an answer to `GET /users/me` says about a token. Pure."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from pipedrive_operator.adapters.pipedrive.answer import HttpAnswer
from pipedrive_operator.adapters.pipedrive.refresh_refusal import account_not_open, blocked
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import PipedriveUnavailable, RateLimited, TokenRejected, Trouble

_LONGEST_DOMAIN: Final = 253


def read_account(answer: HttpAnswer, quoted: str) -> Account:
    """Return the account; `quoted` is what may be shown of the answer.

    Raises:
        TokenRejected, AccountNotOpen, RateLimited, PipedriveUnavailable: as the answer says.
    """
    if answer.status != HTTPStatus.OK:
        raise _refusal(answer, quoted)
    user = (answer.fields or {}).get("data")
    account = _account(user) if isinstance(user, Mapping) else None
    if account is None:
        raise unusable(answer, quoted)
    return account


def token_rejected(why: str) -> TokenRejected:
    """Tell that a token is of no use; an OAuth2 access token is then refreshed."""
    message = (
        f"The token is not accepted: {why}. Put the user's current API token in Vault; "
        "an OAuth2 access token is refreshed by the operator"
    )
    return TokenRejected(message)


def unusable(answer: HttpAnswer, quoted: str) -> PipedriveUnavailable:
    """Tell of an answer that says nothing about the token."""
    message = f"Pipedrive's answer ({quoted}) does not tell whose token it is; Pipedrive is asked again after a pause"
    return PipedriveUnavailable(message, retry_after=answer.retry_after)


def _account(user: Mapping[str, object]) -> Account | None:
    company_id, user_id, domain = user.get("company_id"), user.get("id"), user.get("company_domain")
    if type(company_id) is not int or type(user_id) is not int:  # a bool is an int, and no id
        return None
    if not isinstance(domain, str) or not domain.isprintable() or not 0 < len(domain) <= _LONGEST_DOMAIN:
        return None
    return Account(company_id=company_id, user_id=user_id, company_domain=domain)


def _refusal(answer: HttpAnswer, quoted: str) -> Trouble:
    match answer.status:
        case HTTPStatus.FORBIDDEN if answer.fields is None:
            return blocked(answer, quoted)
        # Every token has the scope that users/me needs, so a 403 in JSON is about its user, not about a scope.
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            return token_rejected(f"Pipedrive refused it ({quoted}), as it does after it was revoked or replaced")
        case HTTPStatus.PAYMENT_REQUIRED:
            return account_not_open(quoted)
        case HTTPStatus.TOO_MANY_REQUESTS:
            message = f"The company's API budget at Pipedrive is used up ({quoted}). Cut other use; asked again later"
            return RateLimited(message, retry_after=answer.retry_after)
        case _:
            return unusable(answer, quoted)
