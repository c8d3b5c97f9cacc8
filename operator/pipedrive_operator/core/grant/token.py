"""Tokens, their accounts, and the results of their verification. Values only."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import Trouble
from pipedrive_operator.core.values.secret_value import SecretValue

LONGEST_LIFETIME: Final = timedelta(days=365)
"""A longer lifetime is cut to this, because a refresh would never be due: the token itself can be used."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountProblem:
    """Why an account is not the one that a credential belongs to, and what to do, as parts of a message."""

    what: str
    remedy: str


def expected_account(
    guard: AccountGuard | None, pinned: Account | None, *, allows_change: bool = False
) -> AccountGuard | None:
    """Return the account that a token must belong to: the guard, and the pinned company where the guard allows it.

    None if any account is accepted. A guard that names the domain under which the company was pinned means that
    company, even if it was renamed or another company has taken its domain. A guard that names another domain was
    edited since. `allows_change` disregards the pin.
    """
    guard = guard or AccountGuard()
    is_open = guard.company_id is None and (pinned is None or guard.company_domain in {None, pinned.company_domain})
    if pinned is not None and is_open and not allows_change:
        guard = replace(guard, company_id=pinned.company_id, company_domain=pinned.company_domain)
    return None if guard == AccountGuard() else guard


def belongs_to(expected: AccountGuard | None, account: Account) -> bool:
    """Return whether an account is the expected one. The id of a company decides if it is known."""
    if expected is None:
        return True
    if expected.user_id not in {None, account.user_id}:
        return False
    if expected.company_id is not None:
        return expected.company_id == account.company_id
    return expected.company_domain in {None, account.company_domain}


def describe_expected(expected: AccountGuard | None) -> str:
    """Return the expected account for people, such as: company acme (id 12)."""
    expected = expected or AccountGuard()
    identifier = f"(id {expected.company_id})" if expected.company_id is not None else ""
    company = f"company {' '.join(filter(None, (expected.company_domain, identifier)))}"
    user = f"user {expected.user_id}" if expected.user_id is not None else ""
    has_company = expected.company_domain is not None or expected.company_id is not None
    return " of ".join(filter(None, (user, company if has_company else "")))


def account_problem(guard: AccountGuard | None, account: Account, pinned: Account | None) -> AccountProblem | None:
    """Return why an account matches neither the guard nor the pin, or None if it may be used."""
    if belongs_to(expected_account(guard, pinned), account):
        return None
    guard = guard or AccountGuard()
    if guard.user_id not in {None, account.user_id}:
        return _guarded(f"user {account.user_id}, and spec.account.userId asks for {guard.user_id}")
    if guard.company_id is not None:
        return _guarded(f"company {account.company_id}, and spec.account.companyId asks for {guard.company_id}")
    if pinned is None or guard.company_domain not in {None, account.company_domain}:
        domain = f"company {account.company_domain}, and spec.account.companyDomain asks for {guard.company_domain}"
        return _guarded(domain)
    return _pin_problem(account, pinned)


def renaming(guard: AccountGuard | None, account: Account) -> str | None:
    """Return a notice that an accepted company now has another domain than the guard's, or None."""
    if guard is None or guard.company_domain in {None, account.company_domain}:
        return None
    return f"The company is now called {account.company_domain}: update spec.account.companyDomain"


def _guarded(what: str) -> AccountProblem:
    return AccountProblem(
        what=f"the token belongs to {what}", remedy="Use a token of that account, or correct spec.account"
    )


def _pin_problem(account: Account, pinned: Account) -> AccountProblem:
    return AccountProblem(
        what=(
            f"the token belongs to company {account.company_domain} (id {account.company_id}), but this credential "
            f"belongs to company {pinned.company_domain} (id {pinned.company_id})"
        ),
        remedy=(
            f"Use a token of {pinned.company_domain}. To change the company, set spec.account.companyId to "
            f"{account.company_id}"
        ),
    )
