"""A connection to the API server that stays open between requests: a new one for each would be too slow."""

import http.client
import json
from contextlib import suppress
from typing import Any, Self

from testbed.api_client import ApiClient

Json = dict[str, Any]


class KeptConnection:
    """Sends requests one after the other. Threads must not share it."""

    def __init__(self, client: ApiClient) -> None:
        """Connect as that client's user when the first request is sent."""
        self._client = client
        self._connection: http.client.HTTPSConnection | None = None

    def __enter__(self) -> Self:
        """Return itself; nothing is connected yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def send(self, method: str, path: str, body: Json | None = None) -> int:
        """Send a request, and return the status of the response; 0 if none came."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        text = None if body is None else json.dumps(body)
        try:
            self._connection = self._connection or self._client.connect()
            self._connection.request(method, path, body=text, headers={"Content-Type": kind})
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return 0
        return response.status

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()
        self._connection = None
