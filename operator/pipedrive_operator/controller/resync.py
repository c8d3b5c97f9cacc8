"""Lists everything, at start-up and at an interval, to fill the cache and to find what a watch missed.

A watch does not report deletions that happened while it was disconnected. Nothing is decided here; the keys of changed
credentials go to the controller.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.consent_cache import ConsentCache
from pipedrive_operator.core.resource.metadata import read_key
from pipedrive_operator.core.resource.names import Key


class ListPage(Protocol):
    """One page of a list."""

    @property
    def items(self) -> Sequence[Mapping[str, Any]]:
        """The objects."""

    @property
    def resource_version(self) -> int:
        """The resourceVersion of the list."""


class Lister(Protocol):
    """Lists the kinds that are watched."""

    def list_credentials(self) -> AsyncIterator[ListPage]:
        """List the credentials, page by page. Raises ApiServerUnavailable."""

    def list_secrets(self) -> AsyncIterator[ListPage]:
        """List the Secrets that carry the operator's label, page by page. Raises ApiServerUnavailable."""


class ConsentLister(Protocol):
    """Lists consents."""

    def list_consents(self) -> AsyncIterator[ListPage]:
        """List the consents, page by page; nothing if the API server does not serve them.

        Raises ApiServerUnavailable.
        """


async def resync_consents(lister: ConsentLister, cache: ConsentCache, found: set[Key]) -> None:
    """Bring the cache of consents up to date with the cluster, and add the consents to reconcile to `found`.

    An API server that does not serve consents returns no page: then none is forgotten.

    Raises:
        ApiServerUnavailable: the list failed; what was found before that is in the cache and in `found`.
    """
    await _update(lister.list_consents(), cache.see, cache.prune, found)


async def resync(lister: Lister, cache: Cache, found: set[Key]) -> None:
    """Bring the cache up to date with the cluster, and add the credentials to reconcile to `found`.

    Secrets come first: a credential that arrives before its Secret would be published again. The cache reports a change
    once, so what was found before an error must be reconciled as well.

    Raises:
        ApiServerUnavailable: a list failed; what was found before that is in the cache and in `found`.
    """
    await _update(lister.list_secrets(), cache.see_secret, cache.prune_secrets, found)
    await _update(lister.list_credentials(), cache.see_credential, cache.prune_credentials, found)


async def _update(
    pages: AsyncIterator[ListPage],
    see: Callable[[str | None, Mapping[str, Any]], frozenset[Key]],
    prune: Callable[[Collection[Key], int], frozenset[Key]],
    found: set[Key],
) -> None:
    """Update the cache from a list. Namespaces are listed in turn, so only the earliest version is safe to prune at."""
    listed, versions = set[Key](), list[int]()
    async for page in pages:
        versions.append(page.resource_version)
        for body in page.items:
            listed.add(read_key(body))
            found |= see(None, body)
    found |= prune(listed, min(versions, default=0))
