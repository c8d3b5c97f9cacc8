"""The latest consents from the watch and from our own writes. No request is made here, and nothing is decided."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from pipedrive_operator.core.resource.consent import Consent, read_consent
from pipedrive_operator.core.resource.metadata import read_metadata
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import InvalidSpec
from pipedrive_operator.log import get_logger

_DELETED: Final = "DELETED"
_log: Final = get_logger(__name__)


class ConsentCache:
    """The consents of the watched namespaces. A method that receives one returns the keys to reconcile."""

    def __init__(self) -> None:
        """Start empty."""
        self._consents: dict[Key, Consent] = {}

    @property
    def keys(self) -> Collection[Key]:
        """The keys of all consents."""
        return self._consents.keys()

    def consent(self, key: Key) -> Consent | None:
        """Return a consent."""
        return self._consents.get(key)

    def of(self, credential: Key) -> list[Consent]:
        """Return the consents for a credential, the oldest first."""
        found = (consent for consent in self._consents.values() if consent.credential == credential)
        return sorted(found, key=lambda consent: (consent.created_at, consent.key.name))

    def keep(self, consent: Consent) -> None:
        """Keep a consent as we wrote it, unless a newer one is known."""
        known = self._consents.get(consent.key)
        if known is None or int(known.resource_version) < int(consent.resource_version):
            self._consents[consent.key] = consent

    def forget(self, key: Key) -> None:
        """Forget a consent that is gone."""
        self._consents.pop(key, None)

    def see(self, event_type: str | None, body: Mapping[str, Any]) -> frozenset[Key]:
        """Receive a consent from the watch or a list; return it with the other consents for the same credential.

        Raises ApiServerUnavailable if its metadata cannot be read.
        """
        key = read_metadata(body).key
        before = self._consents.get(key)
        if event_type == _DELETED:
            self.forget(key)
            return self._related(before)
        try:
            seen = read_consent(body)
        except InvalidSpec as problem:
            _log.warning("ignored a consent that cannot be read", consent=str(key), problem=problem.message)
            return frozenset()
        self.keep(seen)
        if before is not None and before.generation == seen.generation and before.uid == seen.uid:
            return frozenset()
        return self._related(seen)

    def prune(self, listed: Collection[Key]) -> frozenset[Key]:
        """Forget the consents that a complete list lacks."""
        for key in [key for key in self._consents if key not in listed]:
            self.forget(key)
        return frozenset()

    def _related(self, consent: Consent | None) -> frozenset[Key]:
        return frozenset() if consent is None else frozenset(one.key for one in self.of(consent.credential))
