"""Maps every refusal of Pipedrive to one of the operator's errors: a table for each endpoint. Pure.

The first rule that applies decides. The token endpoint is judged by the `error` in its JSON before its status:
Pipedrive documents 400 for a wrong client, and the library that its messages come from responds with 401. A grant
counts as refused only if the response says so by name.

Pipedrive's own refusals are JSON, and the pages of its edge show where they come from. Any other page is of a proxy or
a firewall in between, and both endpoints name it with the same words.
"""

from collections.abc import Container
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.core.grant.consent import AFTER_UNKNOWN_OUTCOME
from pipedrive_operator.core.values.consent_reasons import OPEN_AGAIN
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    ClientRejected,
    ConsentRequired,
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    TokenRejected,
    Trouble,
)

_REDIRECT: Final = range(300, 400)
_CLIENT_ERROR: Final = range(400, 500)
_DEFINITE: Final = frozenset({*range(200, 300), *_CLIENT_ERROR})
"""Statuses with which an error code counts. RFC 6749 asks for 400 or 401; some servers send errors with 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalRule:
    """An error, and the responses that mean it: all that match every condition that is set."""

    means: type[Trouble]
    message: str
    """For people; `{}` stands for the quoted error."""
    status: Container[int] | None = None
    code: str | None = None
    """The `error` in the JSON."""
    has_code: bool | None = None
    is_json: bool | None = None
    is_from_edge: bool | None = None

    def applies(self, response: PipedriveResponse) -> bool:
        """Return whether a response means this error."""
        return (
            (self.status is None or response.status in self.status)
            and (self.code is None or response.error_code == self.code)
            and (self.has_code is None or (response.error_code is not None) is self.has_code)
            and (self.is_json is None or (response.fields is not None) is self.is_json)
            and (self.is_from_edge is None or response.is_from_edge is self.is_from_edge)
        )


_ACCOUNT_NOT_OPEN: Final = RefusalRule(
    status=(HTTPStatus.PAYMENT_REQUIRED,),
    means=AccountNotOpen,
    message=(
        "The company's Pipedrive account is not open ({}): a trial has ended, or a payment is due. Settle the "
        "subscription; the credential then recovers by itself"
    ),
)
_BLOCKED: Final = RefusalRule(
    status=(HTTPStatus.FORBIDDEN,),
    is_json=False,
    is_from_edge=True,
    means=RateLimited,
    message=(
        "Pipedrive's edge blocks the operator with a page instead of a response ({}), as it does after too many "
        "requests. Reduce other use of the API from this address; the operator tries again after a pause"
    ),
)
_PROXY_CREDENTIALS: Final = RefusalRule(
    status=(HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,),
    means=PipedriveUnavailable,
    message=(
        "A proxy between the operator and Pipedrive requires credentials ({}), and did not forward the request. "
        "Correct those in pipedrive.proxyCredentialsFile, or exempt the operator, which tries again after a pause"
    ),
)


def _from_others(means: type[Trouble], begin: str, setting: str, then: str) -> tuple[RefusalRule, ...]:
    """Return the rules for what something between the operator and Pipedrive responds, and what the operator does."""

    def page(message: str, *status: int) -> RefusalRule:
        message = f"{begin}{message}. {then}"
        return RefusalRule(status=status, is_json=False, is_from_edge=False, means=means, message=message)

    redirect = (
        "Something between the operator and Pipedrive redirects the request ({}), as proxies do that ask for a login, "
        f"and the operator follows no redirect: check the proxies in between, and {setting}"
    )
    return (
        RefusalRule(status=_REDIRECT, means=means, message=f"{begin}{redirect}. {then}"),
        page(
            "Something between the operator and Pipedrive refused the request with a page ({}), and Pipedrive's own "
            "refusals are JSON: check the proxies in between",
            HTTPStatus.UNAUTHORIZED,
        ),
        page(
            "A proxy or firewall between the operator and Pipedrive denied the request with a page ({}): allow the "
            "operator to reach Pipedrive there",
            HTTPStatus.FORBIDDEN,
        ),
        page(
            "Something other than Pipedrive's API responded with a page ({}), as proxies do when they cannot reach a "
            "server: check the proxies in between and Pipedrive's status page",
            HTTPStatus.BAD_GATEWAY,
            HTTPStatus.SERVICE_UNAVAILABLE,
            HTTPStatus.GATEWAY_TIMEOUT,
        ),
    )


TOKEN_ENDPOINT: Final = (
    _PROXY_CREDENTIALS,
    RefusalRule(
        status=(HTTPStatus.TOO_MANY_REQUESTS,),
        means=RateLimited,
        message="Pipedrive rejected the refresh because of too many requests ({}); the operator tries again later",
    ),
    _ACCOUNT_NOT_OPEN,
    _BLOCKED,
    RefusalRule(
        status=_DEFINITE,
        code="invalid_grant",
        means=ConsentRequired,
        message=(
            "Pipedrive refused the refresh token ({}): it was replaced, revoked, or not used for 60 days, or the app "
            "was uninstalled"
        ),
    ),
    RefusalRule(
        status=_DEFINITE,
        code="invalid_client",
        means=ClientRejected,
        message=(
            "Pipedrive refused the app's client id or secret ({}), not the grant. Correct them in Vault; no new "
            "consent is needed"
        ),
    ),
    RefusalRule(
        status=_DEFINITE,
        code="unauthorized_client",
        means=ClientRejected,
        message=(
            "Pipedrive does not allow this app to refresh ({}); it did not refuse the grant. Correct the app in "
            "Pipedrive's Developer Hub, or name another client"
        ),
    ),
    RefusalRule(
        status=_CLIENT_ERROR,
        has_code=True,
        means=PipedriveUnavailable,
        message=(
            "Pipedrive refused the refresh request itself ({}), not the grant. The operator tries again; if the error "
            "persists, check pipedrive.oauthUrl and the operator's version"
        ),
    ),
    *_from_others(RefreshUncertain, "The refresh was sent. ", "pipedrive.oauthUrl", AFTER_UNKNOWN_OUTCOME),
    RefusalRule(
        means=RefreshUncertain,
        message=(
            "The refresh was sent, and Pipedrive's response ({}) does not show whether it was carried out. "
            f"{AFTER_UNKNOWN_OUTCOME}"
        ),
    ),
)

CODE_EXCHANGE: Final = (
    _PROXY_CREDENTIALS,
    RefusalRule(
        status=(HTTPStatus.TOO_MANY_REQUESTS,),
        means=RateLimited,
        message=f"Pipedrive got too many requests and refused this one ({{}}). Wait a minute, then {OPEN_AGAIN}",
    ),
    _ACCOUNT_NOT_OPEN,
    _BLOCKED,
    RefusalRule(
        status=_DEFINITE,
        code="invalid_grant",
        means=ConsentRequired,
        message=(
            "Pipedrive refused the authorization code ({}): it was used before, is older than five minutes, or belongs "
            f"to another app or redirect URI. To connect, {OPEN_AGAIN}"
        ),
    ),
    *(
        RefusalRule(
            status=_DEFINITE,
            code=code,
            means=ClientRejected,
            message=(
                "Pipedrive refused the app's client id or secret, or its redirect URI ({}). Correct the client in "
                f"Vault, or the app in the operator's settings, then {OPEN_AGAIN}"
            ),
        )
        for code in ("invalid_client", "unauthorized_client", "redirect_uri_mismatch")
    ),
    RefusalRule(
        status=_CLIENT_ERROR,
        has_code=True,
        means=PipedriveUnavailable,
        message=(
            f"Pipedrive refused the request ({{}}): {OPEN_AGAIN}. If the error persists, check the app in Pipedrive's "
            "Developer Hub and pipedrive.oauthUrl"
        ),
    ),
    *_from_others(
        RefreshUncertain,
        "The authorization code was sent. ",
        "pipedrive.oauthUrl",
        f"A code works once, so it is not sent again: {OPEN_AGAIN}",
    ),
    RefusalRule(
        means=RefreshUncertain,
        message=(
            "The authorization code was sent, and Pipedrive's response ({}) does not show whether it was accepted. A "
            f"code works once, so it is not sent again: {OPEN_AGAIN}"
        ),
    ),
)

VERIFICATION_ENDPOINT: Final = (
    _PROXY_CREDENTIALS,
    _BLOCKED,
    *_from_others(PipedriveUnavailable, "", "pipedrive.apiUrl", "The operator asks again after a pause"),
    # Every token has the scope that users/me needs, so a 403 in JSON is about the user and not about a scope.
    RefusalRule(
        status=(HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN),
        means=TokenRejected,
        message=(
            "Pipedrive refused the token ({}): it was revoked or replaced. Write the user's current API token to "
            "Vault; the operator refreshes an OAuth2 access token itself"
        ),
    ),
    _ACCOUNT_NOT_OPEN,
    RefusalRule(
        status=(HTTPStatus.TOO_MANY_REQUESTS,),
        means=RateLimited,
        message=(
            "The company's API budget at Pipedrive is used up ({}). Reduce other use; the operator tries again later"
        ),
    ),
    RefusalRule(
        means=PipedriveUnavailable,
        message=("Pipedrive's response ({}) does not show whose token it is; the operator asks again after a pause"),
    ),
)


def refusal(rules: tuple[RefusalRule, ...], response: PipedriveResponse, quoted: str) -> Trouble:
    """Return the error that a response means by one of the tables; `quoted` is the part of it that people may see.

    The last rule of each table applies to every response.
    """
    rule = next(rule for rule in rules if rule.applies(response))
    return rule.means(rule.message.format(quoted), retry_after=response.retry_after)
