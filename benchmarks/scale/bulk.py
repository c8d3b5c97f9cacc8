"""Sends many requests to the API server over a few connections: kubectl needs minutes for thousands of objects."""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http import HTTPStatus
from typing import Any, Final

from benchmarks.workload import API_VERSION
from testbed.api_client import ApiClient, ApiError

Json = dict[str, Any]
_CONNECTIONS: Final = 8
_MERGE_PATCH: Final = "application/merge-patch+json"
_CREDENTIALS: Final = f"/apis/{API_VERSION}/namespaces/{{}}/pipedrivecredentials"


def create_credentials(client: ApiClient, namespace: str, objects: Sequence[Json]) -> None:
    """Create credentials. Raises ApiError."""
    path = _CREDENTIALS.format(namespace)
    _spread(client, [("POST", path, one) for one in objects])


def patch_secrets(client: ApiClient, namespace: str, patches: Iterable[tuple[str, Json]]) -> dict[str, float]:
    """Patch Secrets at once, and return the monotonic time of each acknowledgement. Raises ApiError."""
    path = f"/api/v1/namespaces/{namespace}/secrets/"
    asked = [("PATCH", path + name, patch) for name, patch in patches]
    return {uri.removeprefix(path): at for uri, at in _spread(client, asked)}


def _spread(client: ApiClient, requests: Sequence[tuple[str, str, Json]]) -> list[tuple[str, float]]:
    shares = [requests[number::_CONNECTIONS] for number in range(_CONNECTIONS)]
    with ThreadPoolExecutor(max_workers=_CONNECTIONS) as pool:
        return [one for done in pool.map(lambda share: list(_send(client, share)), shares) for one in done]


def _send(client: ApiClient, requests: Iterable[tuple[str, str, Json]]) -> Iterator[tuple[str, float]]:
    with closing(client.connect()) as connection:
        for method, path, body in requests:
            sent = _MERGE_PATCH if method == "PATCH" else "application/json"
            connection.request(method, path, json.dumps(body), {"Content-Type": sent})
            response = connection.getresponse()
            text = response.read()
            if response.status >= HTTPStatus.MULTIPLE_CHOICES:
                message = f"{method} {path}: {response.status} {text[:200].decode(errors='replace')}"
                raise ApiError(message)
            yield path, time.monotonic()
