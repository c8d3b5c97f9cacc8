"""Sends plain HTTP requests to a program on this machine, to check whether it responds."""

import http.client
from contextlib import closing
from http import HTTPStatus
from typing import NamedTuple

_TIMEOUT_SECONDS = 5.0


class Answer(NamedTuple):
    """A program's response."""

    status: int
    text: str


def get(port: int, path: str) -> Answer | None:
    """Return the response of a loopback port, or None if it does not respond within some seconds."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)) as connection:
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode())
        except (OSError, http.client.HTTPException):
            return None


def is_ok(port: int, path: str) -> bool:
    """Return whether a loopback port responds with status 200."""
    answer = get(port, path)
    return answer is not None and answer.status == HTTPStatus.OK
