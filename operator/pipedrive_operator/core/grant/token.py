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


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountProblem:
    """Why an account is not the one that a credential belongs to, and what to do, as parts of a message."""

    what: str
    remedy: str


def account_problem(guard: AccountGuard | None, account: Account, pinned: Account | None) -> AccountProblem | None:
    """Return why an account matches neither the guard nor the pin, or None if it may be used.

    The fields of the guard decide. If it names no company, only the `pinned` company may be used. If it names only a
    domain, the pin distinguishes a company that was renamed from another company that has taken its domain.
    """
    guard = guard or AccountGuard()
    if guard.user_id is not None and guard.user_id != account.user_id:
        return _guarded(
            f"the token belongs to user {account.user_id}, and spec.account.userId asks for {guard.user_id}"
        )
    if guard.company_id is not None:
        return _id_problem(guard.company_id, account)
    if guard.company_domain is not None:
        return _domain_problem(guard.company_domain, account, pinned)
    return None if pinned is None or pinned.company_id == account.company_id else _pin_problem(account, pinned)


def renaming(guard: AccountGuard | None, account: Account) -> str | None:
    """Return a notice that an accepted company now has another domain than the guard's, or None."""
    if guard is None or guard.company_domain in {None, account.company_domain}:
        return None
    return f"The company is now called {account.company_domain}: update spec.account.companyDomain"


def _guarded(what: str) -> AccountProblem:
    return AccountProblem(what=what, remedy="Use a token of that account, or correct spec.account")


def _id_problem(wanted: int, account: Account) -> AccountProblem | None:
    if wanted == account.company_id:
        return None
    return _guarded(f"the token belongs to company {account.company_id}, and spec.account.companyId asks for {wanted}")


def _domain_problem(wanted: str, account: Account, pinned: Account | None) -> AccountProblem | None:
    is_pinned_as_guarded = pinned is not None and pinned.company_domain == wanted
    if pinned is not None and is_pinned_as_guarded and pinned.company_id == account.company_id:
        return None  # even if the company was renamed
    if account.company_domain == wanted:
        # A guard that names another domain than the pin was edited since, which allows the other company.
        return _pin_problem(account, pinned) if pinned is not None and is_pinned_as_guarded else None
    return _guarded(
        f"the token belongs to company {account.company_domain}, and spec.account.companyDomain asks for {wanted}"
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
