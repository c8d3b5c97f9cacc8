"""The second look: complete lists, at the start and now and then, that fill the cache and find what a watch has missed.

A watch reports no deletion that happened while it was away. Nothing is decided here; changes are handed to
the controller.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from pipedrive_operator.controller.cache import NOTHING, Cache
from pipedrive_operator.core.resource.names import Key


class ListPage(Protocol):
    """A part of a complete list."""

    @property
    def items(self) -> Sequence[Mapping[str, Any]]:
        """The objects."""

    @property
    def resource_version(self) -> int:
        """The state of the cluster that the list shows."""


class Lister(Protocol):
    """Lists what is watched."""

    def list_credentials(self) -> AsyncIterator[ListPage]:
        """List the credentials, page by page. Raises ApiServerUnavailable."""

    def list_secrets(self) -> AsyncIterator[ListPage]:
        """List the Secrets that carry our label, page by page. Raises ApiServerUnavailable."""


async def resync(lister: Lister, cache: Cache) -> frozenset[Key]:
    """Bring the cache in line with the cluster, and return the credentials to look at.

    Secrets come first: a credential that is seen before its Secret would be published again.

    Raises:
        ApiServerUnavailable: the cache is as it was, or further.
    """
    secrets = await _take_in(lister.list_secrets(), cache.see_secret, cache.prune_secrets)
    credentials = await _take_in(lister.list_credentials(), cache.see_credential, cache.prune_credentials)
    return secrets | credentials


async def _take_in(
    pages: AsyncIterator[ListPage],
    see: Callable[[str | None, Mapping[str, Any]], frozenset[Key]],
    prune: Callable[[Collection[Key], int], frozenset[Key]],
) -> frozenset[Key]:
    """Take in a list. Namespaces are listed in turn, so the earliest of the states that they show counts."""
    concerned, listed, versions = NOTHING, set[Key](), list[int]()
    async for page in pages:
        versions.append(page.resource_version)
        for body in page.items:
            listed.add(_key(body))
            concerned |= see(None, body)
    return concerned | prune(listed, min(versions, default=0))


def _key(body: Mapping[str, Any]) -> Key:
    return Key(namespace=body["metadata"]["namespace"], name=body["metadata"]["name"])
