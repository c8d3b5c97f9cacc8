"""Asks a program on this machine, over plain HTTP, whether it is there and what it says."""

import http.client
from contextlib import closing
from http import HTTPStatus
from typing import NamedTuple

_TIMEOUT_SECONDS = 5.0


class Answer(NamedTuple):
    """What a program answered."""

    status: int
    text: str


def get(port: int, path: str) -> Answer | None:
    """Return the answer of a loopback port, or None if there is none within some seconds."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)) as connection:
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode())
        except (OSError, http.client.HTTPException):
            return None


def is_ok(port: int, path: str) -> bool:
    """Tell whether a loopback port answers with 200."""
    answer = get(port, path)
    return answer is not None and answer.status == HTTPStatus.OK
