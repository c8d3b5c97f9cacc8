"""From the path in a resource to the request line: the adapter requests the confined path and no other."""

import asyncio
import re
import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.vault.api import VaultApi
from pipedrive_operator.config.vault import VaultConnectionSettings
from pipedrive_operator.core.decision.sources import resolve
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.values.errors import InvalidSpec, Trouble
from support.builders import RULES, resource

TRICKS = (
    "..",
    ".",
    "...",
    "",
    "%2f",
    "%2e%2e",
    "%252e",
    "\\",
    "\n",
    "\r\n",
    "\x00",
    "\uff0f",
    "\u2024",
    "*",
    "+",
    "?",
    "#",
)
PIECES = (
    st.sampled_from(TRICKS) | st.text(string.ascii_letters + "_.@=+-", min_size=1, max_size=6) | st.text(max_size=3)
)
SEGMENTS = st.lists(PIECES, min_size=1, max_size=3).map("".join)
PATHS = st.lists(SEGMENTS, min_size=1, max_size=5).map("/".join)
NEARLY_PLAIN = st.builds(
    "{}{}{}".format, st.sampled_from(["", "a", "a/"]), st.sampled_from(TRICKS), st.sampled_from(["", "b", "/b"])
)
BODY = b'{"data": {"ttl": 0, "expire_time": null}}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


@asynccontextmanager
async def listening(lines: list[bytes]) -> AsyncIterator[int]:
    """Record each request line as it was sent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines.append(head.partition(b"\r\n")[0])
            writer.write(ANSWER)

    async def until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    async with await asyncio.start_server(until_closed, "127.0.0.1") as server:
        yield server.sockets[0].getsockname()[1]


async def requested(spec: dict[str, Any]) -> list[bytes]:
    """Resolve a credential as the operator does; return the request lines of its read, without the login."""
    source = resolve(read_credential(resource(spec)), RULES)
    lines: list[bytes] = []
    with TemporaryDirectory() as folder:
        token = Path(folder) / "token"
        token.write_text("s.token")
        async with listening(lines) as port:
            made = {"address": f"http://127.0.0.1:{port}", "auth": {"method": "token", "tokenFile": token}}
            server = VaultApi("default", VaultConnectionSettings.model_validate(made), TurnedClock())
            try:
                await server.read(source.location, source.identity)
            except Trouble:
                pass
            finally:
                await server.aclose()
    return lines[1:]


@settings(max_examples=300, deadline=None)
@given(path=PATHS | (PATHS | NEARLY_PLAIN).map("pipedrive/crm/{}".format), mount=st.just(None) | PATHS)
def test_an_accepted_path_is_requested_unchanged_and_below_the_prefix(path: str, mount: str | None) -> None:
    """Whatever a resource contains, and however a server decodes it."""
    spec = {"apiToken": {"path": path}} | ({"vault": {"mount": mount}} if mount is not None else {})
    try:
        resolve(read_credential(resource(spec)), RULES)
    except InvalidSpec:
        return

    lines = asyncio.run(requested(spec))

    assert unquote(lines[0].decode()) == f"GET /v1/secret/data/{path} HTTP/1.1"
    assert lines[0].startswith(b"GET /v1/secret/data/pipedrive/crm/")
    assert not re.search(rb"%(?!2B|3D|40)", lines[0])


@given(segments=st.lists(st.text(string.ascii_letters + string.digits + "_.@=+-", min_size=1), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_a_plain_path_arrives_unchanged(segments: list[str]) -> None:
    """No layer decodes, resolves or escapes it into another path."""
    path = "/".join(["pipedrive", "crm", *(f"a{segment}" for segment in segments)])

    lines = asyncio.run(requested({"apiToken": {"path": path}}))

    assert unquote(lines[0].decode()) == f"GET /v1/secret/data/{path} HTTP/1.1"
