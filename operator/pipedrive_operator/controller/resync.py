"""Lists everything, at start-up and at an interval, to fill the cache and to find what a watch missed.

A watch does not report deletions that happened while it was disconnected. Nothing is decided here; the keys of changed
credentials go to the controller.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from pipedrive_operator.controller.cache import NOTHING, Cache
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


async def resync_consents(lister: ConsentLister, cache: ConsentCache) -> frozenset[Key]:
    """Bring the cache of consents up to date, and return the consents to reconcile. Raises ApiServerUnavailable."""
    changed, listed = NOTHING, set[Key]()
    async for page in lister.list_consents():
        for body in page.items:
            listed.add(read_key(body))
            changed |= cache.see(None, body)
    return changed | cache.prune(listed)


async def resync(lister: Lister, cache: Cache) -> frozenset[Key]:
    """Bring the cache up to date with the cluster, and return the credentials to reconcile.

    Secrets come first: a credential that arrives before its Secret would be published again.

    Raises:
        ApiServerUnavailable: a list failed; the cache may be updated in part.
    """
    secrets = await _update(lister.list_secrets(), cache.see_secret, cache.prune_secrets)
    credentials = await _update(lister.list_credentials(), cache.see_credential, cache.prune_credentials)
    return secrets | credentials


async def _update(
    pages: AsyncIterator[ListPage],
    see: Callable[[str | None, Mapping[str, Any]], frozenset[Key]],
    prune: Callable[[Collection[Key], int], frozenset[Key]],
) -> frozenset[Key]:
    """Update the cache from a list. Namespaces are listed in turn, so only the earliest version is safe to prune at."""
    changed, listed, versions = NOTHING, set[Key](), list[int]()
    async for page in pages:
        versions.append(page.resource_version)
        for body in page.items:
            listed.add(read_key(body))
            changed |= see(None, body)
    return changed | prune(listed, min(versions, default=0))
