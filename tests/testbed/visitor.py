"""A person's browser, as far as consents need one: it keeps cookies and follows redirects.

Each request is a new connection, so that a proxy may send each to another replica.
"""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlencode, urljoin, urlsplit

TIMEOUT = 30.0


@dataclass(frozen=True)
class WebPage:
    """A page, and the address that the browser shows with it."""

    address: str
    status: int
    text: str

    @property
    def heading(self) -> str:
        """The text of its only h1."""
        (found,) = re.findall(r"<h1[^>]*>(.*?)</h1>", self.text, re.DOTALL)
        return unescape(found).strip()


@dataclass
class Visitor:
    """Someone with a browser."""

    cookies: dict[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    """Which certificates are trusted."""
    servers: Mapping[str, Iterator[tuple[str, int]]] = field(default_factory=dict)
    """Where to connect for a host name, in turn, as a load balancer would."""

    def open(self, address: str, *, form: Mapping[str, str] | None = None) -> WebPage:
        """Open an address, or send a form to it, and follow redirects."""
        status, location, text = self._request(address, form)
        return self.open(urljoin(address, location)) if location else WebPage(address, status, text)

    def press(self, page: WebPage) -> WebPage:
        """Press the only button of a page that has no fields."""
        return self.open(page.address, form={})

    def decide(self, page: WebPage, *, user: str, decision: str = "accept") -> WebPage:
        """Accept or deny on Pipedrive's page, as the user with that value in its list."""
        return self.open(page.address, form={"decision": decision, "user": user})

    def connect(self, link: str, *, user: str) -> WebPage:
        """Go the whole way: open a link, continue to Pipedrive, and accept."""
        return self.decide(self.press(self.open(link)), user=user)

    def _request(self, address: str, form: Mapping[str, str] | None) -> tuple[int, str | None, str]:
        parts = urlsplit(address)
        connection = self._connection(parts.scheme, parts.netloc)
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        body = None
        if form is not None:
            body, headers["Content-Type"] = urlencode(form), "application/x-www-form-urlencoded"
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        try:
            connection.request("GET" if form is None else "POST", path, body=body, headers=headers)
            response = connection.getresponse()
            if (cookie := response.headers["Set-Cookie"]) is not None:
                name, _, value = cookie.partition(";")[0].partition("=")
                self.cookies[name] = value
            return response.status, response.headers["Location"], response.read().decode()
        finally:
            connection.close()

    def _connection(self, scheme: str, host: str) -> HTTPConnection:
        if scheme != "https":
            return HTTPConnection(host, timeout=TIMEOUT)
        connection = HTTPSConnection(host, timeout=TIMEOUT, context=self.tls)
        if host in self.servers:
            plain = socket.create_connection(next(self.servers[host]), timeout=TIMEOUT)
            connection.sock = (self.tls or ssl.create_default_context()).wrap_socket(plain, server_hostname=host)
        return connection
