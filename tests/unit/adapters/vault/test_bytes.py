"""Whatever bytes a server sends: they become a document that can be written back, or one of the operator's errors."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from unittest.mock import Mock, patch

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.adapters.http.pool import Pools
from pipedrive_operator.adapters.http.response import Response
from pipedrive_operator.adapters.vault.api import VaultApi
from pipedrive_operator.config.vault import VaultConnectionSettings
from pipedrive_operator.core.grant.document import OPERATOR, Document, VaultLocation
from pipedrive_operator.core.grant.grant import read_grant, write_grant
from pipedrive_operator.core.values.errors import OperatorError
from support.properties import SHALLOW, TIMES, reads_anything
from support.vault_clock import ImpatientClock

ACME: Final = VaultLocation(connection="default", mount="secret", path="acme")
LOGGED_IN: Final = b'{"data": {"ttl": 60, "expire_time": "2026-11-01T00:00:00Z"}}'
STORED: Final = b'{"data": {"version": 2}}'
RAW: Final = st.sampled_from(
    [
        *("1e400", "-1e400", "NaN", "1e-400", "9" * 5000, r'"\ud800"', r'{"\udfff": 1}', "1.0000000000000000000001"),
        *(f"{'[' * depth}{']' * depth}" for depth in (99, 100, 101, 400, 5000, 50_000)),
    ]
)
"""Values as text, because Python writes few of them."""
VALUES: Final = st.integers(0, 3).flatmap(lambda drawn: RAW if drawn == 0 else SHALLOW.map(json.dumps))
KEYS: Final = st.sampled_from(["access_token", "expires_at", "refresh_id", "note", "scope"]) | st.text(st.characters())


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Build the response to a read, most of which have a grant."""
    fields = {"refresh_token": '"12:34:a"'} | draw(st.dictionaries(KEYS, VALUES, max_size=3))
    values = ", ".join(f"{json.dumps(key)}: {value}" for key, value in fields.items())
    created = json.dumps(draw(st.just("2026-03-04T12:00:00Z") | TIMES))
    return f'{{"data": {{"data": {{{values}}}, "metadata": {{"version": 1, "created_time": {created}}}}}}}'.encode()


BODIES: Final = (
    documents() | st.binary(max_size=40) | st.builds(lambda body, cut: body[:cut], documents(), st.integers(0))
)


class Wire:
    """A connection that gives one response to every read, and remembers what is written."""

    def __init__(self) -> None:
        """Respond with nothing."""
        self.status, self.body, self.written = 200, b"", b""

    async def exchange(self, request: httpx.Request, *, longest_body: int) -> Response:
        """Respond as the transport does, before anything is decoded."""
        if request.url.path.endswith("lookup-self"):
            return Response(status=200, body=LOGGED_IN)
        if request.method == "POST":
            self.written = request.content
            return Response(status=200, body=STORED)
        return Response(status=self.status, body=self.body[:longest_body], is_truncated=len(self.body) > longest_body)


@pytest.fixture(scope="module")
def wire() -> Wire:
    """Return a connection."""
    return Wire()


@pytest.fixture(scope="module")
def vault(wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Asked"]:
    """Return the adapter behind the connection."""
    token_file = tmp_path_factory.mktemp("bytes") / "token"
    token_file.write_text("s.token")

    async def current(*_: object, **__: object) -> Wire:
        return wire

    with (
        asyncio.Runner() as made,
        patch.object(Pools, "current", current),
        patch("pipedrive_operator.adapters.vault.api.vault_tls", Mock()),
    ):
        yield Asked(made, token_file)


class Asked:
    """The adapter, asked from a test without a loop."""

    def __init__(self, runner: asyncio.Runner, token_file: Path) -> None:
        """Log in with the token in a file."""
        self._runner = runner
        self._settings = VaultConnectionSettings.model_validate(
            {"address": "https://x", "auth": {"method": "token", "tokenFile": token_file}}
        )

    def read(self) -> Document | OperatorError | None:
        """Read the document."""

        async def read() -> Document | OperatorError | None:
            api = VaultApi("default", self._settings, ImpatientClock())
            try:
                return await api.read(ACME, OPERATOR)
            except OperatorError as error:
                return error
            finally:
                await api.aclose()

        return self._runner.run(read())

    def write(self, values: Mapping[str, object]) -> int:
        """Write a document."""

        async def write() -> int:
            api = VaultApi("default", self._settings, ImpatientClock())
            try:
                return await api.write(ACME, values, OPERATOR, cas=1)
            finally:
                await api.aclose()

        return self._runner.run(write())


@reads_anything
@given(body=BODIES, status=st.sampled_from([200, 200, 200, 404, 500]))
def test_any_bytes_are_a_document_that_can_be_written_back_or_an_error(
    wire: Wire, vault: Asked, body: bytes, status: int
) -> None:
    """The intent of a refresh rewrites all of it, and foreign values are written as they were read."""
    wire.status, wire.body = status, body
    found = vault.read()
    if not isinstance(found, Document):
        assert found is None or isinstance(found, OperatorError)
        return

    grant = read_grant(found)
    values = dict(found.values) if grant is None else write_grant(grant, found.values)

    assert 2 == vault.write(values)
    assert values == json.loads(wire.written)["data"]


@reads_anything
@given(values=st.dictionaries(st.text(st.characters()), SHALLOW, max_size=3))
def test_any_write_arrives_or_is_an_error(wire: Wire, vault: Asked, values: dict[str, object]) -> None:
    """No error of an encoder escapes, whatever the values are."""
    wire.written = b""
    with suppress(OperatorError):
        vault.write(values)

        assert values == json.loads(wire.written)["data"]
