"""Sends requests to the API server: a few generic verbs, each with a content type and a time-out.

Nothing here knows what a resource means, and no request is retried.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from kubernetes.aio.config import ConfigException

from pipedrive_operator import metrics
from pipedrive_operator.adapters.kubernetes.endpoints import Endpoint
from pipedrive_operator.adapters.kubernetes.quotation import quote
from pipedrive_operator.adapters.kubernetes.refusal import Refusal, response_error
from pipedrive_operator.adapters.kubernetes.session import AUTHENTICATION, Client, audiences_of, open_client
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.values.errors import ApiServerNotTrusted, ApiServerUnavailable

Body = dict[str, Any]

PAGE_SIZE: Final = 500
"""How many objects a page of a list has, unless they are so large that the page would exceed `LARGEST_PAGE`."""
LARGEST_PAGE: Final = 8 * 1024 * 1024
"""In bytes, without compression. etcd stores no object of more than 1.5 MiB, which are 2 MiB in JSON."""
_SHRINK: Final = 4
"""The factor by which the page size shrinks after a page that was too large."""
_MERGE_PATCH: Final = "application/merge-patch+json"
"""Always set: the client library defaults to a strategic merge patch."""


class ResponseTooLarge(ApiServerUnavailable):
    """The API server sent more than the operator reads at once."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list. All pages of a list show the cluster at the same resourceVersion."""

    items: list[Body]
    resource_version: int


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    endpoint: Endpoint
    query: Mapping[str, str]
    body: Mapping[str, Any] | None = None
    content_type: str = "application/json"


class Api:
    """Sends requests to the API server.

    Every method raises `Refusal` if the API server refuses the request, `ProcessingFailure` if it fails to process it,
    and `ApiServerUnavailable` (the base class of both) if there is no usable response.
    """

    def __init__(self, client: Client, *, timeout: timedelta) -> None:
        """Use a client of the running loop; `timeout` limits a request from its start to the end of its response."""
        self._client = client
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())

    @classmethod
    async def connect(cls, settings: KubernetesSettings) -> Self:
        """Open a client for the running loop. Raises ApiServerUnavailable if there is no usable configuration."""
        return cls(await open_client(settings), timeout=settings.timeout)

    async def __aenter__(self) -> Self:
        """Return this object, which is closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def own_audiences(self) -> tuple[str, ...]:
        """Return the audiences and the issuer of our own token for the API server; none if it is no JWT."""
        token = await self._client.configuration.get_api_key_with_prefix(AUTHENTICATION)
        return audiences_of(token or "")

    async def get(self, endpoint: Endpoint) -> Body | None:
        """Return an object, or None if it does not exist."""
        try:
            return await self._send("get", _Request("GET", endpoint, {}))
        except Refusal as refusal:
            if refusal.is_not_found:
                return None
            raise

    async def pages(self, endpoint: Endpoint, *, labels: str = "") -> AsyncIterator[Page]:
        """List a collection, page by page.

        The API server's cache (`resourceVersion=0`) is never used. It ignores the limit, so it would return the whole
        list at once; and it may be older than the events of the watch, so an object that it lacks may still exist.

        A page that is too large is requested again with fewer objects: large ones are read one by one.
        """
        size = PAGE_SIZE
        query = {"labelSelector": labels}
        while True:
            try:
                page = await self._send("list", _Request("GET", endpoint, query | {"limit": str(size)}))
            except ResponseTooLarge:
                if size == 1:
                    raise
                size = max(1, size // _SHRINK)
                continue
            with readable("list"):
                found = Page(list(page["items"] or ()), int(page["metadata"]["resourceVersion"]))
                token = page["metadata"].get("continue")
            yield found
            if not token:
                return
            query["continue"] = token

    async def create(self, endpoint: Endpoint, body: Mapping[str, Any]) -> Body:
        """Create an object in a collection, and return it as it was stored."""
        return await self._send("create", _Request("POST", endpoint, {}, body))

    async def merge_patch(self, endpoint: Endpoint, patch: Mapping[str, Any]) -> Body:
        """Apply a JSON merge patch (RFC 7386), and return the patched object."""
        return await self._send("patch", _Request("PATCH", endpoint, {}, patch, _MERGE_PATCH))

    async def delete(self, endpoint: Endpoint, *, preconditions: Mapping[str, str] | None = None) -> None:
        """Delete an object, or only if it still has the uid and resourceVersion in `preconditions`."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions or {}}
        await self._send("delete", _Request("DELETE", endpoint, {}, body))

    async def _send(self, verb: str, request: _Request) -> Body:
        """Send a request, count it, and return the object that answers it."""
        with metrics.request("kubernetes", f"{verb}_{request.endpoint.resource}") as request_metrics:
            try:
                code, text = await self._exchange(request)
            except aiohttp.ClientConnectorCertificateError as error:
                self._client.trust_again()
                raise ApiServerNotTrusted(_certificate_problem(error.certificate_error)) from error
            except (aiohttp.ClientError, OSError, ConfigException) as error:
                message = f"the API server did not respond: {quote(str(error) or type(error).__name__)}"
                raise ApiServerUnavailable(message) from error
            request_metrics.code = str(code)
            return _read(code, text)

    async def _exchange(self, request: _Request) -> tuple[int, bytes]:
        method, url, headers, body, _ = await self._client.param_serialize(
            request.method,
            request.endpoint.path,
            query_params=dict(request.query),
            header_params={"Accept": "application/json", "Content-Type": request.content_type},
            body=request.body,
            auth_settings=[AUTHENTICATION],
        )
        answer = await self._client.call_api(method, url, headers, body, _request_timeout=self._timeout)
        async with answer.response as response:
            return response.status, await _body(response)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of a response, uncompressed. Raises ResponseTooLarge."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LARGEST_PAGE:
            response.close()
            message = f"the API server responded with more than {LARGEST_PAGE:,} bytes"
            raise ResponseTooLarge(message)
    return bytes(body)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Turn an object that is not as the API describes it into ApiServerUnavailable.

    The API server validates what it stores, so such an object comes from a broken proxy.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        message = f"the API server returned a {what} that cannot be read: {type(error).__name__}: {error}"
        raise ApiServerUnavailable(message) from error


def _certificate_problem(error: Exception) -> str:
    reason = getattr(error, "verify_message", None) or str(error)
    return f"the certificate of the API server is not accepted: {quote(reason)}"


def _read(code: int, text: bytes) -> Body:
    """Return the object in a response, or raise the error that the response stands for."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        message = f"the API server responded {code} with a body that is not JSON"
        raise ApiServerUnavailable(message) from error
    if code < HTTPStatus.MULTIPLE_CHOICES and isinstance(body, dict):
        return body
    raise response_error(code, body)
