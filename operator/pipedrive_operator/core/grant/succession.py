"""Which of several grants of the same location stays: decided by descent, not by time. Pure.

Clocks of different machines are never compared. A grant names the refresh token that it was refreshed from, and that
is enough to distinguish a successor from a consent and from a restored backup.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pipedrive_operator.core.grant.grant import Grant, descending_from


@dataclass(frozen=True, slots=True, kw_only=True)
class EscrowedGrant:
    """A grant in escrow, and the refresh that returned it."""

    grant: Grant
    refresh_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What to do with the grants in escrow for one location."""

    drop: tuple[EscrowedGrant, ...] = ()
    """Vault holds these grants, or their successors."""
    store: EscrowedGrant | None = None
    """The grant that succeeds what Vault holds."""
    unclear: tuple[EscrowedGrant, ...] = ()
    """Neither descends from the other: only Pipedrive knows which one is alive."""


def is_fresh(grant: Grant, *, replaces: str | None, now: datetime) -> bool:
    """Return whether a grant needs no refresh: its access token is unexpired and not the one to replace."""
    token = grant.token
    return token is not None and token.value.digest() != replaces and not token.expired(now)


def settlement(stored: Grant, escrowed: Sequence[EscrowedGrant]) -> Settlement:
    """Decide what to do with the grants in escrow, given what Vault holds."""
    drop = tuple(copy for copy in escrowed if stored.covers(copy.grant))
    rest = [copy for copy in escrowed if copy not in drop]
    store = next((copy for copy in rest if copy.grant.refreshed_from == stored.lineage), None)
    return Settlement(drop=drop, store=store, unclear=tuple(copy for copy in rest if copy is not store))


def usable_for(
    stored: Grant, escrowed: Sequence[EscrowedGrant], *, waiting: Collection[EscrowedGrant]
) -> list[EscrowedGrant]:
    """Return the copies that may take the place of a grant: those that were verified, and its own successors.

    A successor that is the candidate of a consent belongs to the account of the grant. It is verified like any other
    candidate if it is `waiting` for that; otherwise it counts as the result of a refresh of the grant.
    """
    verified = [copy for copy in escrowed if copy.grant.terms is None]
    rest = [copy for copy in escrowed if copy not in verified and copy not in waiting]
    newest = successor_of(stored, rest)
    successors = [newest] if newest is not None else [copy for copy in rest if copy.grant.continues(stored.lineage)]
    return [*verified, *(replace(copy, grant=_refreshed_to(copy.grant, stored)) for copy in successors)]


def _refreshed_to(result: Grant, stored: Grant) -> Grant:
    """Return the result of renewals of a candidate as that of a refresh of the grant; its renewals stay counted."""
    made = descending_from(stored, result)
    return replace(made, refresh_count=max(made.refresh_count, result.refresh_count))


def replacement(escrowed: Sequence[EscrowedGrant], *, dead: Collection[EscrowedGrant]) -> EscrowedGrant | None:
    """Return the grant in escrow that replaces a refused one: the newest of a line, unless it is among the `dead`."""

    def is_spent(grant: Grant) -> bool:
        return any(grant.precedes(copy.grant) for copy in escrowed)

    return next((copy for copy in escrowed if copy not in dead and not is_spent(copy.grant)), None)


def successor_of(grant: Grant, escrowed: Sequence[EscrowedGrant]) -> EscrowedGrant | None:
    """Return what the refresh token of a grant was spent for, if that is in escrow and has another refresh token.

    It is the newest of what descends from the grant: if Vault was restored from a backup, the grant may be older than
    what its successor was spent for.
    """
    direct = (copy for copy in escrowed if copy.grant.refreshed_from == grant.lineage != copy.grant.lineage)
    descendants = (copy for copy in escrowed if grant.precedes(copy.grant))
    return max(descendants, key=lambda copy: copy.grant.refresh_count, default=next(direct, None))


def supersedes(stored: Grant, ours: Grant, *, spent: Grant) -> bool:
    """Return whether what Vault holds stays, rather than the result of our refresh.

    `spent` is the grant with our intent. If Vault still holds the refresh token that we spent, ours is its successor,
    no matter whose intent is there. If that token did not rotate, the access token must also be the one that we
    replaced. A different one beside our intent is older than ours: a holder that was stopped has stored it late.
    Anything else in Vault is our own result whose acknowledgement was lost, a consent, or another refresh.
    """
    if stored.lineage != spent.lineage:
        return True
    if ours.lineage != spent.lineage or stored.access_digest == spent.access_digest:
        return False
    has_new_token = ours.access_digest != spent.access_digest
    return not (has_new_token and stored.intent_id == spent.intent_id)
