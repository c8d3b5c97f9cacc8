"""A mark beside the grant: which results of consents are dropped or spent, so that no copy gets into Vault again. Pure.

A copy in escrow may outlive what it is a copy of: a webhook may deny its deletion. The process that has dropped it
remembers it, but the next one does not, and neither does another cluster.
"""

from collections.abc import Iterable
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
    return _naming(values, grant, (*_ancestors(grant), grant.lineage))


def with_obsolete_ancestors(values: Values, grant: Grant) -> dict[str, object]:
    """Return the values of a document that names what was spent for a grant of a consent; the grant itself may return.

    A refresh token that does not rotate is not spent.
    """
    return _naming(values, grant, [lineage for lineage in _ancestors(grant) if lineage != grant.lineage])


def _ancestors(grant: Grant) -> list[str]:
    """Return the lineages of the first refresh token of a grant's consent, and of the one before its own."""
    return [lineage for lineage in (grant.first_refreshed_from, grant.refreshed_from) if lineage is not None]


def _naming(values: Values, grant: Grant, lineages: Iterable[str]) -> dict[str, object]:
    added = dict.fromkeys(_entry(grant, lineage) for lineage in lineages)
    if grant.exchange[0] is None or not added:
        return dict(values)
    kept = [entry for entry in _entries(values) if entry not in added]
    return {**values, OBSOLETE: " ".join([*kept, *added][-_MOST:])}


def _entries(values: Values) -> list[str]:
    written = text_field(values, OBSOLETE) or ""
    return written.split() if len(written) <= _LONGEST else []


def _entry(grant: Grant, lineage: str) -> str:
    consent, generation = grant.exchange
    return f"{consent}/{generation}/{lineage[:_DIGITS]}"
