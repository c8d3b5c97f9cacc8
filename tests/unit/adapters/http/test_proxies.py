"""Failures of a proxy are distinguished from each other and from those of the service behind it."""

import itertools
import socket

import httpx
import pytest

from pipedrive_operator.adapters.http.proxies import Proxy, describe_page, describe_proxy_failure

PROXY = Proxy(url="http://proxy.example:3128", setting="pipedrive.proxy")
NAME = "the proxy http://proxy.example:3128 (pipedrive.proxy)"
TARGET = "api.pipedrive.com"


def caused(*chain: BaseException) -> BaseException:
    """Chain errors as libraries do, the outermost first."""
    for error, cause in itertools.pairwise(chain):
        error.__cause__ = cause
    return chain[0]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ProxyError("407 Proxy Authentication Required"), f"{NAME} requires credentials (HTTP 407): "),
        (httpx.ProxyError("403 Forbidden"), f"{NAME} denied the connection to {TARGET} (HTTP 403): "),
        (httpx.ProxyError("502 Bad Gateway"), f"{NAME} could not reach {TARGET} (HTTP 502): "),
        (httpx.ProxyError("418 I'm a teapot"), f"{NAME} refused to connect to {TARGET} (HTTP 418): "),
        (httpx.ProxyError("nonsense"), f"{NAME} cannot be reached: "),
        (caused(httpx.ConnectError(""), ConnectionRefusedError()), f"{NAME} refused the connection: "),
        (caused(httpx.ProxyError(""), ConnectionRefusedError()), f"{NAME} refused the connection: "),
        (caused(httpx.ConnectError(""), socket.gaierror()), f"{NAME} has a name that cannot be resolved: "),
    ],
)
def test_a_failure_of_the_proxy_names_it_and_what_to_do(error: BaseException, expected: str) -> None:
    """The message never contains the password."""
    described = describe_proxy_failure(error, PROXY, TARGET)

    assert described is not None
    assert described.startswith(expected)
    assert "word" not in described


@pytest.mark.parametrize("error", [httpx.ReadError(""), TimeoutError(), httpx.RemoteProtocolError("")])
def test_a_failure_behind_the_proxy_is_not_blamed_on_it(error: BaseException) -> None:
    """The connection had been established."""
    assert describe_proxy_failure(error, PROXY, TARGET) is None


@pytest.mark.parametrize(("status", "known"), [(407, True), (502, True), (504, True), (200, False), (500, False)])
def test_a_page_points_at_a_proxy_by_its_status(status: int, *, known: bool) -> None:
    """An error page of the service itself has other ones."""
    assert (describe_page(status) is not None) is known
