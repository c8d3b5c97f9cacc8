"""Reads the account out of a response to `GET /users/me`. Pure; refusals are in `refusals`."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from pipedrive_operator.adapters.pipedrive.quoted_error import quote_value
from pipedrive_operator.adapters.pipedrive.refusals import VERIFICATION_ENDPOINT, refusal
from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import PipedriveUnavailable
from pipedrive_operator.core.values.ids import read_id
from pipedrive_operator.core.values.text import is_dns_label

_LONGEST_DOMAIN: Final = 253


def read_account(response: PipedriveResponse, quoted: str) -> Account:
    """Return the account; `quoted` is the part of the response that people may see.

    Raises:
        TokenRejected, AccountNotOpen, RateLimited, PipedriveUnavailable: as the table in `refusals` says; also for a
            response with status 200 and without an account.
    """
    user = (response.fields or {}).get("data") if response.status == HTTPStatus.OK else None
    account = _account(user) if isinstance(user, Mapping) else None
    if account is None:
        raise refusal(VERIFICATION_ENDPOINT, response, quoted)
    if not is_dns_label(account.company_domain):  # addresses are built from it
        message = (
            f"Pipedrive names a company domain that is not a DNS label: {quote_value(account.company_domain)}. Nothing "
            "is published with it. Check pipedrive.apiUrl, and the proxies in between; the operator asks again after a "
            "pause"
        )
        raise PipedriveUnavailable(message, retry_after=response.retry_after)
    return account


def _account(user: Mapping[str, object]) -> Account | None:
    company_id, user_id, domain = read_id(user.get("company_id")), read_id(user.get("id")), user.get("company_domain")
    if company_id is None or user_id is None:
        return None
    if not isinstance(domain, str) or not domain or len(domain) > _LONGEST_DOMAIN:
        return None
    return Account(company_id=company_id, user_id=user_id, company_domain=domain)
