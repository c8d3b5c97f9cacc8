"""The companies, their users and the apps of Developer Hub. Time, HTTP and grants must not be in it."""

import secrets
from dataclasses import dataclass, field
from itertools import count

from testbed.pipedrive import tokens


@dataclass(kw_only=True)
class Company:
    """A company account; `api_domain`, if set, replaces the usual one in its token responses."""

    id: int
    name: str
    domain: str
    api_domain: str | None = None
    is_open: bool = True
    """False after an unpaid trial has ended; the API then responds with status 402."""
    country: str = "EE"


@dataclass(kw_only=True)
class User:
    """A person in one company; the same id in another company is the same person with another API token."""

    id: int
    company_id: int
    name: str
    email: str
    api_token: str
    is_admin: bool = True
    is_active: bool = True


@dataclass(kw_only=True)
class App:
    """An app registered in Developer Hub; `company_ids`, if set, are the only companies that can see it."""

    client_id: str
    client_secret: str
    name: str
    redirect_uri: str
    scopes: tuple[str, ...]
    company_ids: tuple[int, ...] | None = None
    installation_url: str | None = None
    """Where people who install the app from the marketplace are sent first."""
    is_live: bool = False
    """Whether its callback URL has passed the check of *Change to live*."""


@dataclass
class World:
    """All companies, users and apps, by their natural keys."""

    companies: dict[int, Company] = field(default_factory=dict)
    users: dict[tuple[int, int], User] = field(default_factory=dict)
    apps: dict[str, App] = field(default_factory=dict)
    _ids: "count[int]" = field(default_factory=lambda: count(1), repr=False)
    _by_api_token: dict[str, User] = field(default_factory=dict, repr=False)

    def add_company(
        self, *, domain: str, name: str = "", company_id: int | None = None, api_domain: str | None = None
    ) -> Company:
        """Add a company account, with the next free id unless one is given."""
        company = Company(
            id=company_id or next(number for number in self._ids if number not in self.companies),
            name=name or domain.title(),
            domain=domain,
            api_domain=api_domain,
        )
        self.companies[company.id] = company
        return company

    def add_user(
        self, *, company_id: int, name: str = "", user_id: int | None = None, api_token: str | None = None
    ) -> User:
        """Add a person to a company, with an API token. Raises KeyError for an unknown company."""
        domain = self.companies[company_id].domain
        free = (number for number in self._ids if (company_id, number) not in self.users)
        user_id = user_id or next(free)
        user = User(
            id=user_id,
            company_id=company_id,
            name=name or f"User {user_id}",
            email=f"user{user_id}@{domain}.example",
            api_token=api_token or tokens.api_token(),
        )
        self.users[company_id, user_id] = user
        self._by_api_token[user.api_token] = user
        return user

    def add_app(
        self,
        *,
        redirect_uri: str,
        scopes: tuple[str, ...] = ("base",),
        name: str = "",
        client_id: str | None = None,
        client_secret: str | None = None,
    ) -> App:
        """Register an app with its one callback URL; `base` is always among its scopes."""
        client_id = client_id or secrets.token_hex(8)
        app = App(
            client_id=client_id,
            client_secret=client_secret or secrets.token_hex(20),
            name=name or client_id,
            redirect_uri=redirect_uri,
            scopes=with_base(scopes),
        )
        self.apps[client_id] = app
        return app

    def regenerate_api_token(self, *, company_id: int, user_id: int, api_token: str | None = None) -> User:
        """Give a user a new API token; the old one is revoked at once. Raises KeyError for an unknown user."""
        user = self.users[company_id, user_id]
        self._by_api_token.pop(user.api_token, None)
        user.api_token = api_token or tokens.api_token()
        self._by_api_token[user.api_token] = user
        return user

    def user_of_api_token(self, api_token: str) -> User | None:
        """Return the active user whose API token this is."""
        user = self._by_api_token.get(api_token)
        return user if user is not None and user.is_active else None


def with_base(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scopes with `base`, which the vendor never leaves out; last, as in its own example."""
    return tuple(dict.fromkeys((*(scope for scope in scopes if scope != "base"), "base")))
