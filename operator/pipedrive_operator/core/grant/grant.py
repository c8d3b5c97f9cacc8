"""The format of a grant in Vault: flat strings that `vault kv get` shows legibly. I/O must not be in it.

A person may seed a grant with a refresh token alone, or with the raw response of Pipedrive's token endpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pipedrive_operator.core.grant.document import LONGEST_VALUE, Document, VaultLocation
from pipedrive_operator.core.grant.fields import lifetime_field, number_field, text_field, time_field
from pipedrive_operator.core.grant.intent import (
    IN_EXCHANGE,
    MARKS,
    OF_INTENT,
    Intent,
    Unanswered,
    read_intent,
    read_unanswered,
    write_marks,
)
from pipedrive_operator.core.grant.keys import GRANT_FIELDS
from pipedrive_operator.core.grant.terms import Exchange, Terms, read_terms, write_terms
from pipedrive_operator.core.grant.token import LONGEST_LIFETIME, Token
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import SourceMissing
from pipedrive_operator.core.values.ids import read_id
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.core.values.text import is_dns_label
from pipedrive_operator.core.values.times import format_time

LONGEST_SCOPE: Final = 4096
"""In characters. Pipedrive has about 40 scopes, which have 800 characters together."""
_BINDING: Final = "refresh_token_digest"
"""The key with the digest of the refresh token that the other keys of a grant belong to.

A person who consents again and writes the new refresh token alone, as with `vault kv patch`, leaves the other keys as
they were: the access token, the client and the marks of a refresh of the former grant.
"""
_REPLACED: Final = frozenset({"expires_in", *MARKS})
"""Keys that are dropped from the former document: the lifetime of a raw response, and the marks of former refreshes."""
OUR_KEYS: Final = frozenset({*GRANT_FIELDS, *_REPLACED, _BINDING})
"""The keys of a grant. All other keys of its document are foreign."""
_OURS: Final = OUR_KEYS - {"scope"}
"""The keys of a grant, except its scope, which is the best guess for a grant that replaces it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A refresh token, and the access token that was issued with it, if any."""

    refresh_token: SecretValue
    token: Token | None = None
    scope: frozenset[str] = frozenset()
    """The scope that the document states, even where it holds no usable access token."""
    account: Account | None = None
    client_id: str | None = None
    refreshed_from: str | None = None
    """The digest of the refresh token that was spent for this grant."""
    first_refreshed_from: str | None = None
    """The digest of the refresh token that the first refresh spent; None before that refresh."""
    refresh_count: int = 0
    """How many refreshes have led from the origin to this grant."""
    intent: Intent | None = None
    """The refresh in flight, if there is one."""
    unanswered: Unanswered | None = None
    """Earlier refreshes that got no response."""
    consent: str | None = None
    """The uid of the consent that yielded this grant or the grants before it."""
    consent_generation: int | None = None
    """The generation of that consent that brought the code."""
    terms: Terms | None = None
    """Set until the grant of a consent is verified: it is a candidate, and must not be used."""

    @property
    def exchange(self) -> Exchange:
        """The exchange that yielded this grant or the grants before it."""
        return self.terms.exchange if self.terms is not None else (self.consent, self.consent_generation)

    @property
    def lineage(self) -> str:
        """The digest of the refresh token."""
        return self.refresh_token.digest()

    @property
    def origin(self) -> str:
        """The digest of the refresh token that a person or a consent stored: no refresh changes it."""
        return self.first_refreshed_from or self.lineage

    @property
    def intent_id(self) -> str | None:
        """The id of the refresh in flight."""
        return None if self.intent is None else self.intent.refresh_id

    @property
    def access_digest(self) -> str | None:
        """The digest of the access token."""
        return None if self.token is None else self.token.value.digest()

    def is_usable_with(self, client_id: str) -> bool:
        """Return whether a client may refresh this grant: the one it was issued to, if that is known."""
        return self.client_id in {None, client_id}

    def continues(self, lineage: str | None) -> bool:
        """Return whether this grant has that lineage, or was refreshed from the grant that has it."""
        return lineage is not None and lineage in {self.lineage, self.refreshed_from}

    def precedes(self, other: "Grant") -> bool:
        """Return whether `other` is of the same origin and exchange, and more refreshes have led to it.

        Grants that were refreshed by a release without the count have 0, although they were refreshed.
        """
        is_successor = other.lineage in {self.lineage, self.refreshed_from}
        if is_successor or self.exchange != other.exchange:
            return False
        if self.lineage in {other.refreshed_from, other.first_refreshed_from}:
            return True
        is_counted = self.refresh_count > 0 or self.refreshed_from is None
        return is_counted and self.origin == other.origin and self.refresh_count < other.refresh_count

    def covers(self, other: "Grant") -> bool:
        """Return whether `other` can be discarded: this grant is the same, its successor, or a sibling.

        The descent of any other grant is unclear: it may be a new consent, or from a restored backup of Vault.
        """
        is_sibling = self.refreshed_from is not None and self.refreshed_from == other.refreshed_from
        return self.continues(other.lineage) or (is_sibling and self.refreshed_from != self.lineage)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenResponse:
    """A complete and validated response of the token endpoint (RFC 6749 section 5.1)."""

    access_token: SecretValue
    refresh_token: SecretValue
    token_type: str
    expires_in: timedelta
    """At most `LONGEST_LIFETIME`, so that no date overflows."""
    scope: frozenset[str] | None
    """None where the response names no scope that can be read: then the scope is unchanged (RFC 6749 section 6)."""
    api_domain: str | None
    """None where the response names none: then it is unchanged."""


def missing_grant(location: VaultLocation) -> str:
    """Return the message about a location without a grant."""
    return (
        f"Vault holds no refresh_token at {location}: authorize the app as a user of the company, and write the "
        f"refresh_token there with `vault kv put -mount={location.mount} {location.path} refresh_token=-`"
    )


def require_bounds(document: Document) -> None:
    """Check that no field of a grant is longer than any that Pipedrive issues.

    Each credential that names the document would keep such a field in memory.

    Raises:
        SourceMissing: a field is too long.
    """
    for key in (*GRANT_FIELDS, *MARKS, _BINDING):
        value, longest = document.values.get(key), LONGEST_SCOPE if key == "scope" else LONGEST_VALUE
        if isinstance(value, str) and len(value) > longest:
            message = (
                f"The value of key {key} at {document.location} in Vault has {len(value):,} characters, and the "
                f"operator reads {longest:,} at most: write a shorter value with `vault kv patch`"
            )
            raise SourceMissing(message)


def dated(document: Document | None) -> Document | None:
    """Return a document whose access token has an absolute lifetime, where it holds the raw response of Pipedrive.

    `expires_in` counts from when its version was written. Whatever is written over it would prolong the lifetime.
    """
    if document is None or "expires_in" not in document.values:
        return document
    grant = read_grant(document)
    if grant is None or grant.token is None or time_field(document.values, "expires_at") is not None:
        return document
    return replace(document, values={**document.values, **_lifetime(grant.token)})


def read_grant(document: Document | None) -> Grant | None:
    """Read the grant of a document, or return None if it has no usable refresh token.

    If the other keys belong to a former refresh token, only the refresh token and the scope are read.
    """
    if document is None:
        return None
    refresh_token = text_field(document.values, "refresh_token")
    if refresh_token is None:
        return None
    values = without_former_grant(document.values)
    return Grant(
        refresh_token=SecretValue(refresh_token),
        token=_read_token(values, document.created_at),
        scope=split_scope(text_field(values, "scope") or ""),
        account=_read_account(values),
        client_id=text_field(values, "client_id"),
        refreshed_from=text_field(values, "refreshed_from"),
        first_refreshed_from=text_field(values, "first_refreshed_from"),
        refresh_count=number_field(values, "refresh_count") or 0,
        intent=read_intent(values, document.created_at),
        unanswered=read_unanswered(values, document.created_at),
        consent=text_field(values, "consent_uid"),
        consent_generation=number_field(values, "consent_generation"),
        terms=read_terms(values),
    )


def consented_grant(answer: TokenResponse, *, client_id: str, asked_at: datetime, terms: Terms) -> Grant:
    """Build the candidate that a code was exchanged for."""
    first = Grant(refresh_token=answer.refresh_token, terms=terms)
    made = refreshed_grant(first, answer, client_id=client_id, asked_at=asked_at)
    return replace(made, refreshed_from=None, first_refreshed_from=None, refresh_count=0)


def refreshed_grant(old: Grant, answer: TokenResponse, *, client_id: str, asked_at: datetime) -> Grant:
    """Build the grant that succeeds `old`; its lifetime counts from before the request, so it is never too long."""
    scope = old.scope if answer.scope is None else answer.scope
    former_domain = old.token.api_domain if old.token is not None else None
    token = Token(
        value=answer.access_token,
        obtained_at=asked_at.replace(microsecond=0),
        expires_at=asked_at.replace(microsecond=0) + answer.expires_in,
        token_type=answer.token_type,
        scope=scope,
        api_domain=answer.api_domain or former_domain,
    )
    made = Grant(refresh_token=answer.refresh_token, token=token, scope=scope, client_id=client_id)
    return descending_from(old, made)


def half_refreshed_grant(old: Grant, refresh_token: SecretValue) -> Grant:
    """Build the grant that succeeds `old` if only the refresh token of a response is usable."""
    return descending_from(old, replace(old, refresh_token=refresh_token, intent=None, unanswered=None))


def descending_from(old: Grant, made: Grant) -> Grant:
    """Return a grant that was made with the refresh token of `old` as its successor, with its account and consent."""
    return replace(
        made,
        account=old.account,
        refreshed_from=old.lineage,
        first_refreshed_from=old.origin,
        refresh_count=old.refresh_count + 1,
        consent=old.consent,
        consent_generation=old.consent_generation,
        terms=old.terms,
    )


def write_grant(grant: Grant, foreign: Mapping[str, object]) -> dict[str, object]:
    """Merge a grant into the values of its document, keeping all foreign keys."""
    kept = {key: value for key, value in without_former_grant(foreign).items() if key not in _REPLACED}
    ours = {key: value for key, value in _flat(grant).items() if value is not None}
    return kept | ours | write_marks(grant.intent, grant.unanswered)


def without_former_grant(values: Mapping[str, object]) -> Mapping[str, object]:
    """Return the values without those that belong to a former refresh token, if someone has replaced that alone.

    The intent of an exchange stays: it is about a code or a candidate, which are still there.
    """
    refresh_token, binding = text_field(values, "refresh_token"), text_field(values, _BINDING)
    if refresh_token is None or binding in {None, SecretValue(refresh_token).digest()}:
        return values
    dropped = _OURS if text_field(values, IN_EXCHANGE) is None else _OURS.difference(OF_INTENT)
    return {key: value for key, value in values.items() if key not in dropped}


def _flat(grant: Grant) -> dict[str, str | None]:
    return {
        "refresh_token": grant.refresh_token.reveal(),
        _BINDING: grant.lineage,
        "client_id": grant.client_id,
        "refreshed_from": grant.refreshed_from,
        "first_refreshed_from": grant.first_refreshed_from,
        "refresh_count": str(grant.refresh_count) if grant.refresh_count else None,
        "consent_uid": grant.consent,
        "consent_generation": str(grant.consent_generation) if grant.consent_generation is not None else None,
        **(write_terms(grant.terms) if grant.terms is not None else {}),
        **(_flat_token(grant.token) if grant.token is not None else {}),
        **(_flat_account(grant.account) if grant.account is not None else {}),
    }


def _flat_token(token: Token) -> dict[str, str | None]:
    return {
        "access_token": token.value.reveal(),
        "token_type": token.token_type,
        **_lifetime(token),
        "scope": ",".join(sorted(token.scope)),
        "api_domain": token.api_domain,
    }


def _lifetime(token: Token) -> dict[str, str | None]:
    return {
        "expires_at": format_time(token.expires_at) if token.expires_at is not None else None,
        "obtained_at": format_time(token.obtained_at) if token.obtained_at is not None else None,
    }


def _flat_account(account: Account) -> dict[str, str | None]:
    return {
        "company_id": str(account.company_id),
        "company_domain": account.company_domain,
        "user_id": str(account.user_id),
    }


def _read_token(values: Mapping[str, object], created_at: datetime) -> Token | None:
    """Read the access token, or return None without a usable expiry, so that a refresh is due at once."""
    written_at = created_at.replace(microsecond=0)
    value = text_field(values, "access_token")
    expires_at = time_field(values, "expires_at") or lifetime_field(values, "expires_in", written_at)
    if value is None or expires_at is None:
        return None
    obtained_at = time_field(values, "obtained_at") or written_at
    return Token(
        value=SecretValue(value),
        obtained_at=obtained_at,
        expires_at=obtained_at + min(expires_at - obtained_at, LONGEST_LIFETIME),
        token_type=text_field(values, "token_type") or "Bearer",
        scope=split_scope(text_field(values, "scope") or ""),
        api_domain=text_field(values, "api_domain"),
    )


def split_scope(scope: str) -> frozenset[str]:
    """Split a scope: Pipedrive separates by commas, RFC 6749 section 3.3 by spaces."""
    return frozenset(scope.replace(",", " ").split())


def _read_account(values: Mapping[str, object]) -> Account | None:
    company_id, user_id = (read_id(text_field(values, key)) for key in ("company_id", "user_id"))
    if company_id is None or user_id is None:
        return None
    domain = text_field(values, "company_domain") or ""
    return Account(company_id=company_id, user_id=user_id, company_domain=domain if is_dns_label(domain) else "")
