"""The latest consents from the watch and from our own writes. No request is made here, and nothing is decided.

Tenants can create thousands of consents for one credential, so nothing here visits all of them for one event or pass.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from pipedrive_operator.controller.store import DELETED, NOTHING, Store
from pipedrive_operator.core.resource.consent import Consent, read_consent
from pipedrive_operator.core.resource.metadata import read_metadata
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import InvalidSpec
from pipedrive_operator.log import get_logger

_log: Final = get_logger(__name__)

_Rank = tuple[datetime, str]
"""When a consent was created, and its name, which decides between those of the same second."""


class ConsentCache:
    """The consents of the watched namespaces. A method that receives one returns the keys to reconcile."""

    def __init__(self) -> None:
        """Start empty."""
        self._consents = Store[Consent]()
        self._ranks: dict[Key, list[_Rank]] = {}
        """By credential, the oldest consent first."""
        self._allowing: dict[Key, set[str]] = {}

    @property
    def keys(self) -> Collection[Key]:
        """The keys of all consents."""
        return self._consents.objects.keys()

    def consent(self, key: Key) -> Consent | None:
        """Return a consent."""
        return self._consents.objects.get(key)

    def newest(self, credential: Key) -> Consent | None:
        """Return the newest consent for a credential that is not being deleted."""
        for _, name in reversed(self._ranks.get(credential, ())):
            consent = self._consents.objects[Key(namespace=credential.namespace, name=name)]
            if not consent.being_deleted:
                return consent
        return None

    def allowing_change(self, credential: Key) -> frozenset[str]:
        """Return the uids of the consents for a credential that allow another company than the pinned one."""
        return frozenset(self._allowing.get(credential, ()))

    def keep(self, consent: Consent) -> None:
        """Keep a consent as we wrote it, unless a newer one is known, or it was gone later."""
        known = self.consent(consent.key)
        if not self._consents.keep(consent):
            return
        if known is not None:
            self._unlink(known)
        insort(self._ranks.setdefault(consent.credential, []), _rank(consent))
        if consent.spec.allow_account_change:
            self._allowing.setdefault(consent.credential, set()).add(consent.uid)

    def forget(self, key: Key, resource_version: int) -> frozenset[Key]:
        """Forget a consent that was gone at that version, and return it."""
        known = self.consent(key)
        if not self._consents.drop(key, resource_version) or known is None:
            return NOTHING
        self._unlink(known)
        return frozenset({key})

    def see(self, event_type: str | None, body: Mapping[str, Any]) -> frozenset[Key]:
        """Receive a consent from the watch or a list; return it with the one that it supersedes.

        A consent that is gone is returned as well, so that what is known about it can be forgotten.

        Raises ApiServerUnavailable if its metadata cannot be read.
        """
        metadata = read_metadata(body)
        if event_type == DELETED:
            return self.forget(metadata.key, int(metadata.resource_version))
        before = self.consent(metadata.key)
        try:
            seen = read_consent(body)
        except InvalidSpec as problem:
            _log.warning("ignored a consent that cannot be read", consent=str(metadata.key), problem=problem.message)
            return NOTHING
        self.keep(seen)
        if self.consent(seen.key) is not seen:
            return NOTHING
        if before is not None and before.generation == seen.generation and before.uid == seen.uid:
            return NOTHING
        return frozenset({seen.key, *self._superseded(seen)})

    def prune(self, listed: Collection[Key], as_of: int) -> frozenset[Key]:
        """Forget the consents that a complete list of that version lacks, and return them."""
        gone = self._consents.prune(listed, as_of)
        return NOTHING.union(*(self.forget(key, as_of) for key in gone))

    def _unlink(self, consent: Consent) -> None:
        """Remove a consent from those of its credential."""
        ranks, allowing = self._ranks[consent.credential], self._allowing.get(consent.credential, set())
        del ranks[bisect_left(ranks, _rank(consent))]
        allowing.discard(consent.uid)
        if not ranks:
            del self._ranks[consent.credential]
        if not allowing:
            self._allowing.pop(consent.credential, None)

    def _superseded(self, consent: Consent) -> list[Key]:
        """Return the next older consent for the same credential. It has superseded the ones before it."""
        ranks = self._ranks.get(consent.credential, [])
        place = bisect_left(ranks, _rank(consent))
        return [Key(namespace=consent.key.namespace, name=ranks[place - 1][1])] if place > 0 else []


def _rank(consent: Consent) -> _Rank:
    return consent.created_at, consent.key.name
