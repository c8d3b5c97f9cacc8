"""Lists everything that is watched, so that the cache can be checked without relying on the watch."""

from collections.abc import AsyncIterator, Sequence

from pipedrive_operator.adapters.kubernetes.api import Api, Page
from pipedrive_operator.adapters.kubernetes.endpoints import CONSENTS, CREDENTIALS, SECRETS, ResourceType
from pipedrive_operator.adapters.kubernetes.refusal import Refusal
from pipedrive_operator.core.resource.names import LABEL_CREDENTIAL


class Lister:
    """Lists the objects in the watched namespaces, or in the whole cluster."""

    def __init__(self, api: Api, namespaces: Sequence[str] = ()) -> None:
        """Use `api`; no namespaces means all namespaces."""
        self._api = api
        self._namespaces: Sequence[str | None] = namespaces or (None,)

    def list_credentials(self) -> AsyncIterator[Page]:
        """List the credentials, page by page. Raises ApiServerUnavailable."""
        return self._pages(CREDENTIALS)

    def list_secrets(self) -> AsyncIterator[Page]:
        """List the Secrets that carry our label, page by page. Raises ApiServerUnavailable."""
        return self._pages(SECRETS, labels=LABEL_CREDENTIAL)

    async def list_consents(self) -> AsyncIterator[Page]:
        """List the consents, page by page; nothing if the API server does not serve them.

        Raises ApiServerUnavailable.
        """
        try:
            async for page in self._pages(CONSENTS):
                yield page
        except Refusal as refusal:
            if not refusal.is_not_found:
                raise

    async def _pages(self, resource: ResourceType, *, labels: str = "") -> AsyncIterator[Page]:
        for namespace in self._namespaces:
            async for page in self._api.pages(resource.collection(namespace), labels=labels):
                yield page
