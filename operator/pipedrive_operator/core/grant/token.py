"""Tokens, their accounts, and the results of their verification. Values only."""

from dataclasses import dataclass
from datetime import datetime

from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import Trouble
from pipedrive_operator.core.values.secret_value import SecretValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An API token, or an access token with its metadata (RFC 6749 section 5.1)."""

    value: SecretValue
    obtained_at: datetime | None = None
    expires_at: datetime | None = None
    """None for an API token, which does not expire."""
    token_type: str = "Bearer"
    scope: frozenset[str] = frozenset()
    api_domain: str | None = None
    """The base address of the company's API; None for an API token, whose account states it."""

    @property
    def is_api_token(self) -> bool:
        """Return whether it is an API token, which does not expire."""
        return self.expires_at is None

    def expired(self, now: datetime) -> bool:
        """Return whether the token has expired, according to its stated lifetime."""
        return self.expires_at is not None and now >= self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The latest result of verifying a token: an account, or a trouble."""

    token: Token
    at: datetime
    account: Account | None = None
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A token that Pipedrive accepted and that belongs to the right account, so it may be published."""

    token: Token
    account: Account
    verified_at: datetime
    lineage: str | None = None
    """The digest of the refresh token of the same grant; a token refreshed from it belongs to the same account."""


def account_problem(guard: AccountGuard | None, account: Account, pinned: Account | None) -> str | None:
    """Return why the account does not match the guard, or None if it does.

    `companyId` decides if it is set. If only the domain is set, and this company was accepted under it before
    (`pinned`), a different domain means that the company was renamed.
    """
    if guard is None:
        return None
    if guard.user_id is not None and guard.user_id != account.user_id:
        return f"the token belongs to user {account.user_id}, and spec.account.userId asks for {guard.user_id}"
    if guard.company_id is not None:
        return _company_problem(guard.company_id, account)
    if guard.company_domain in {None, account.company_domain} or _is_renamed(account, pinned, guard.company_domain):
        return None
    return (
        f"the token belongs to company {account.company_domain}, "
        f"and spec.account.companyDomain asks for {guard.company_domain}"
    )


def renaming(guard: AccountGuard | None, account: Account) -> str | None:
    """Return a notice that an accepted company now has another domain than the guard's, or None."""
    if guard is None or guard.company_domain in {None, account.company_domain}:
        return None
    return f"The company is now called {account.company_domain}: update spec.account.companyDomain"


def _company_problem(wanted: int, account: Account) -> str | None:
    if wanted == account.company_id:
        return None
    return f"the token belongs to company {account.company_id}, and spec.account.companyId asks for {wanted}"


def _is_renamed(account: Account, pinned: Account | None, guarded_domain: str | None) -> bool:
    return pinned is not None and (pinned.company_id, pinned.company_domain) == (account.company_id, guarded_domain)
