"""The fields that a credential publishes: the one table of their names, their values and what a refresh changes.

Each is a default key of the Secret, can be named in a template, and is listed in the CRD. A new field is one new line.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pipedrive_operator.core.grant.token import Accepted
from pipedrive_operator.core.values.times import format_time


@dataclass(frozen=True, slots=True)
class Field:
    """One value that is published."""

    value: Callable[[Accepted], str]
    changes_with_refresh: bool = False
    """Whether each refresh gives it another value; without `onRefresh`, such a change restarts no workload."""


def _expiry(accepted: Accepted) -> str:
    return format_time(accepted.token.expires_at) if accepted.token.expires_at is not None else ""


def _api_domain(accepted: Accepted) -> str:
    """Return the address that came with the token, or else the one that follows from the company's domain.

    Pipedrive returns an `api_domain` with an access token only, and a person who seeds a grant may leave it out.
    """
    return accepted.token.api_domain or f"https://{accepted.account.company_domain}.pipedrive.com"


OAUTH2_FIELDS: Final[Mapping[str, Field]] = MappingProxyType(
    {
        "access_token": Field(lambda accepted: accepted.token.value.reveal(), changes_with_refresh=True),
        "token_type": Field(lambda accepted: accepted.token.token_type),
        "api_domain": Field(_api_domain),
        "expires_at": Field(_expiry, changes_with_refresh=True),
        "scope": Field(lambda accepted: ",".join(sorted(accepted.token.scope))),
        "company_domain": Field(lambda accepted: accepted.account.company_domain),
    }
)
API_TOKEN_FIELDS: Final[Mapping[str, Field]] = MappingProxyType(
    {
        "api_token": Field(lambda accepted: accepted.token.value.reveal()),
        "api_domain": Field(_api_domain),
        "company_domain": Field(lambda accepted: accepted.account.company_domain),
    }
)


def fields_of(accepted: Accepted) -> Mapping[str, Field]:
    """Return the fields of an accepted token, by the kind of token."""
    return API_TOKEN_FIELDS if accepted.token.is_api_token else OAUTH2_FIELDS


def values_of(accepted: Accepted) -> dict[str, str]:
    """Return the value of each field."""
    return {name: field.value(accepted) for name, field in fields_of(accepted).items()}
