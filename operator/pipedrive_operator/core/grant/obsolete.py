"""A mark beside the grant: which results of consents are dropped or spent, so that no copy gets into Vault again. Pure.

A copy in escrow may outlive what it is a copy of: a webhook may deny its deletion. The process that has dropped it
remembers it, but the next one does not, and neither does another cluster.
"""

from typing import Final

from pipedrive_operator.core.grant.document import Document
from pipedrive_operator.core.grant.fields import Values, text_field
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.keys import OBSOLETE

_MOST: Final = 24
"""How many refresh tokens are remembered: those of the last eight consents, or more."""
_DIGITS: Final = 16
"""How many digits of each digest are kept. Two tokens of one exchange do not have the same ones."""
_LONGEST: Final = 4096
"""In characters: more than all of them have."""


def is_obsolete(grant: Grant, document: Document | None) -> bool:
    """Return whether a document names the result of an exchange as dropped or spent."""
    return document is not None and _entry(grant, grant.lineage) in _entries(document.values)


def with_obsolete(values: Values, grant: Grant) -> dict[str, object]:
    """Return the values of a document that names a grant of a consent, and its ancestors, as dropped or spent."""
    if grant.exchange[0] is None:
        return dict(values)
    ancestors = (grant.first_refreshed_from, grant.refreshed_from, grant.lineage)
    added = dict.fromkeys(_entry(grant, lineage) for lineage in ancestors if lineage is not None)
    kept = [entry for entry in _entries(values) if entry not in added]
    return {**values, OBSOLETE: " ".join([*kept, *added][-_MOST:])}


def _entries(values: Values) -> list[str]:
    written = text_field(values, OBSOLETE) or ""
    return written.split() if len(written) <= _LONGEST else []


def _entry(grant: Grant, lineage: str) -> str:
    consent, generation = grant.exchange
    return f"{consent}/{generation}/{lineage[:_DIGITS]}"
