"""A candidate: the grant of a consent, which waits in Vault beside the grant that it may replace. No I/O is here.

The first acknowledged copy of a consent's result must exist before its account is verified, and the grant that
works must stay unchanged until then. So the candidate is one more key of the same document.
"""

import json
from dataclasses import replace
from typing import Final

from pipedrive_operator.core.grant.document import Document
from pipedrive_operator.core.grant.fields import Values
from pipedrive_operator.core.grant.grant import OUR_KEYS, Grant, read_grant, without_former_grant, write_grant
from pipedrive_operator.core.grant.intent import (
    MARKS,
    Intent,
    Unanswered,
    read_intent,
    read_unanswered,
    write_marks,
)
from pipedrive_operator.core.grant.keys import CANDIDATE
from pipedrive_operator.core.grant.obsolete import is_obsolete
from pipedrive_operator.core.grant.terms import Terms
from pipedrive_operator.core.grant.token import belongs_to, describe_expected, expected_account
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import OPEN_AGAIN

LONGEST_CANDIDATE: Final = 32_768
"""In characters: more than all fields of a grant can have."""

ASIDE: Final = "candidate-"
"""The beginning of the refresh id of a copy in escrow that was set aside for a newer consent."""


def id_aside(candidate: Grant, version: int) -> str:
    """Return the refresh id of a copy of a candidate that was set aside from a version of its document."""
    return f"{ASIDE}{version}-{candidate.lineage}"


def read_candidate(document: Document | None) -> Grant | None:
    """Return the candidate of a document; None if there is none, or if a person has damaged it."""
    written = document.values.get(CANDIDATE) if document is not None else None
    if document is None or not isinstance(written, str) or len(written) > LONGEST_CANDIDATE:
        return None
    try:
        values = json.loads(written)
    except (ValueError, RecursionError):
        return None
    candidate = read_grant(replace(document, values=values)) if isinstance(values, dict) else None
    return candidate if candidate is not None and candidate.terms is not None else None


def lineages_of(document: Document) -> frozenset[str]:
    """Return the lineages of the grant and of the candidate in a document."""
    return frozenset(grant.lineage for grant in (read_grant(document), read_candidate(document)) if grant is not None)


def is_outdated(result: Grant, document: Document | None) -> bool:
    """Return whether the result of an exchange has nothing to add to a document that was read after it was found.

    A result belongs into Vault if Vault holds what was spent for it, or nothing of the same exchange yet. The code of
    an exchange works once, so whatever else Vault holds of it is this result or descends from it, unless it is an older
    ancestor: then Vault was restored from a backup. A refresh token that does not rotate has several access tokens, of
    which a verified grant needs no other one, and a candidate no older one. What the document names as obsolete adds
    nothing either.
    """
    if is_obsolete(result, document):
        return True
    found = (grant for grant in (read_candidate(document), read_grant(document)) if grant is not None)
    held = next((grant for grant in found if grant.exchange == result.exchange), None)
    if held is None:
        return False
    if held.lineage == result.lineage:
        return held.terms is None or held.refresh_count >= result.refresh_count
    return not held.precedes(result)


def is_spent(candidate: Grant, document: Document) -> bool:
    """Return whether the grant in a document is this candidate, or descends from it: then it has nothing to add.

    The grant must be of the same exchange: another consent may bring a refresh token again that was spent before.
    """
    stored = read_grant(document)
    if stored is None or stored.exchange != candidate.exchange:
        return False
    if stored.lineage == candidate.lineage:
        return stored.access_digest == candidate.access_digest
    return candidate.lineage in {stored.refreshed_from, stored.first_refreshed_from}


def was_spent_for(stored: Grant, candidate: Grant) -> bool:
    """Return whether the candidate descends from the grant beside it, whose refresh token is spent then.

    A person may have written the refresh token anew, without the consent that it is from.
    """
    ancestors = {candidate.refreshed_from, candidate.first_refreshed_from} - {candidate.lineage}
    return stored.lineage in ancestors or stored.precedes(candidate)


def marks_of(document: Document | None) -> tuple[Intent | None, Unanswered | None]:
    """Return the marks of a document, whether it holds a grant or not."""
    if document is None:
        return None, None
    values = without_former_grant(document.values)
    return read_intent(values, document.created_at), read_unanswered(values, document.created_at)


def kept_intent(document: Document | None, ours: Grant) -> Intent | None:
    """Return the intent that stays in a document when our grant replaces the one in it.

    The intent of an exchange is about a code or a candidate, whatever the grant is. Any other one stays if the refresh
    token has not rotated: its holder may have sent the same token.
    """
    intent, _ = marks_of(document)
    stored = read_grant(document)
    is_about_ours = stored is not None and stored.lineage == ours.lineage
    return intent if intent is not None and (is_about_ours or intent.consent is not None) else None


def has_intent(document: Document, intent: Intent) -> bool:
    """Return whether a document has this intent."""
    found, _ = marks_of(document)
    return found is not None and found.refresh_id == intent.refresh_id


def without_intent(document: Document, intent: Intent) -> Values:
    """Return the values of a document without this intent; another one stays."""
    _, unanswered = marks_of(document)
    return with_marks(document.values, None, unanswered) if has_intent(document, intent) else document.values


def with_marks(values: Values, intent: Intent | None, unanswered: Unanswered | None) -> dict[str, object]:
    """Return the values of a document with these marks instead of its own."""
    return {key: value for key, value in values.items() if key not in MARKS} | write_marks(intent, unanswered)


def with_candidate(values: Values, candidate: Grant) -> dict[str, object]:
    """Return the values of a document with a candidate; everything else in it stays."""
    return {**values, CANDIDATE: json.dumps(write_grant(candidate, {}))}


def without_candidate(values: Values, unanswered: Unanswered | None) -> dict[str, object]:
    """Return the values of a document without its candidate: the grant in it stays as it is."""
    return with_marks({key: value for key, value in values.items() if key != CANDIDATE}, None, unanswered)


def promoted(candidate: Grant, account: Account, unanswered: Unanswered | None = None) -> Grant:
    """Return the grant that a verified candidate becomes, with what is known of its unanswered renewals."""
    consent, generation = candidate.exchange
    return replace(
        candidate,
        terms=None,
        consent=consent,
        consent_generation=generation,
        account=account,
        intent=None,
        unanswered=unanswered,
    )


def with_promoted(values: Values, grant: Grant) -> dict[str, object]:
    """Return the values of a document whose grant is replaced by a verified one: only marks and foreign keys stay."""
    replaced = {*OUR_KEYS, CANDIDATE}
    return write_grant(grant, {key: value for key, value in values.items() if key not in replaced})


def is_unrelated(stored: Grant, candidate: Grant) -> bool:
    """Return whether Vault holds a grant that this candidate was not meant to replace.

    Otherwise the candidate outranks what is stored: the grant that the consent replaces, or what descends from it. A
    grant that someone has written since is not meant, and neither is one of the same consent. Another process has
    promoted the candidate then, and may have refreshed the grant since, which spends the candidate's refresh token. But
    if it has promoted an ancestor of this candidate, that is spent, and this is its successor.
    """
    is_meant = candidate.terms is None or stored.origin == candidate.terms.over
    return not is_meant and not was_spent_for(stored, candidate)


def mismatch(terms: Terms, candidate: Grant, stored: Grant | None, account: Account) -> AccountGuard | None:
    """Return the account that a candidate had to belong to and does not; None if it belongs to the right one.

    Its terms name one, if it was known when the code was sent. If not, a grant that was written since, and that nobody
    has meant to replace, may name one: its company has been connected meanwhile.
    """
    expected = terms.expected
    if expected is None and stored is not None and is_unrelated(stored, candidate):
        expected = expected_account(None, stored.account)
    return None if belongs_to(expected, account) else expected


def account_problem(account: Account | None, missed: AccountGuard | None) -> str | None:
    """Return why a candidate must be dropped; None if it belongs to the expected account. `missed` is its mismatch."""
    if account is None:
        return f"Pipedrive rejects the access token that it has just issued: {OPEN_AGAIN}"
    if missed is None:
        return None
    return (
        f"Pipedrive connected company {account.company_domain} (id {account.company_id}, user {account.user_id}), but "
        f"the credential belongs to {describe_expected(missed)}. Nothing was changed. Switch the company in "
        f"Pipedrive, then {OPEN_AGAIN}"
    )
