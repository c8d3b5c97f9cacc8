"""Whatever a server responds, the adapter returns a usable value or raises one of the operator's own errors."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.adapters.vault.api import VaultApi
from pipedrive_operator.adapters.vault.http.transport import Transport
from pipedrive_operator.adapters.vault.request_and_response import VaultRequest, VaultResponse
from pipedrive_operator.config.vault import VaultConnectionSettings
from pipedrive_operator.core.grant.document import OPERATOR, Document, VaultLocation
from pipedrive_operator.core.values.errors import OperatorError
from support.properties import ANYTHING, TIMES, reads_anything
from support.vault_clock import ImpatientClock

ACME = VaultLocation(connection="default", mount="secret", path="acme")
LOGGED_IN = {
    "approle": VaultResponse(status=200, body={"auth": {"client_token": "s.token", "lease_duration": 60}}),
    "token": VaultResponse(status=200, body={"data": {"ttl": 60, "expire_time": "2026-11-01T00:00:00Z"}}),
}


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return objects with some of these fields, or anything else in place of an object."""
    return st.fixed_dictionaries({}, optional=fields) | ANYTHING


STATUSES = st.sampled_from([200, 204, 307, 400, 403, 404, 405, 412, 429, 472, 500, 503]) | st.integers(100, 599)
ERRORS = st.lists(ANYTHING, max_size=3) | ANYTHING
METADATA = objects(
    version=st.integers(1, 9) | ANYTHING,
    created_time=TIMES | ANYTHING,
    deletion_time=TIMES | ANYTHING,
    destroyed=ANYTHING,
)
DATA = objects(
    data=st.dictionaries(st.text(max_size=3), ANYTHING, max_size=3) | ANYTHING,
    metadata=METADATA,
    version=ANYTHING,
    options=objects(version=st.just("2") | ANYTHING),
    capabilities=ERRORS,
    ttl=ANYTHING,
    expire_time=ANYTHING,
    renewable=ANYTHING,
    num_uses=ANYTHING,
    policies=ERRORS,
)
AUTH = objects(
    client_token=st.just("s.token") | ANYTHING,
    lease_duration=ANYTHING,
    renewable=ANYTHING,
    num_uses=ANYTHING,
    policies=ERRORS,
    mfa_requirement=ANYTHING,
)
BODIES = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "data": DATA,
        "auth": AUTH,
        "errors": ERRORS,
        "wrap_info": ANYTHING,
        "initialized": ANYTHING,
        "sealed": ANYTHING,
    },
)
RESPONSES = st.builds(lambda status, body: VaultResponse(status=status, body=body), STATUSES, BODIES)

Ask = Callable[[VaultApi], Awaitable[object]]


class Server:
    """A server that gives one response to everything, and the adapter in front of it."""

    def __init__(self, runner: asyncio.Runner, value_file: Path) -> None:
        """Let the adapter log in with the value in a file."""
        self._runner = runner
        self._settings = {
            method: VaultConnectionSettings.model_validate(
                {
                    "address": "https://x",
                    "auth": {"method": method, "tokenFile": value_file, "secretIdFile": value_file, "roleId": "r"},
                }
            )
            for method in LOGGED_IN
        }

    def ask(self, question: Ask, response: VaultResponse, *, method: str = "token", logged_in: bool = True) -> object:
        """Ask the adapter, after a successful login if wanted; return its answer or error."""

        async def send(_: Transport, request: VaultRequest) -> VaultResponse:
            return LOGGED_IN[method] if logged_in and request.operation == "login" else response

        async def asked() -> object:
            api = VaultApi("default", self._settings[method], ImpatientClock())
            try:
                return await question(api)
            except OperatorError as error:
                return error
            finally:
                await api.aclose()

        # Loading certificates would take longer than everything else.
        with patch("pipedrive_operator.adapters.vault.api.vault_tls", Mock()), patch.object(Transport, "send", send):
            return self._runner.run(asked())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server."""
    path = tmp_path_factory.mktemp("readers") / "value"
    path.write_text("s.token")
    with asyncio.Runner() as runner:
        yield Server(runner, path)


@reads_anything
@given(response=RESPONSES)
def test_any_response_to_a_read_is_a_document_or_an_error(server: Server, response: VaultResponse) -> None:
    """A document has a version and an aware time, which others calculate with."""
    found = server.ask(lambda api: api.read(ACME, OPERATOR), response)

    if isinstance(found, Document):
        assert str(found.version).isdigit()
        assert found.created_at.utcoffset() is not None
    else:
        assert found is None or isinstance(found, OperatorError)


@reads_anything
@given(response=RESPONSES)
def test_any_response_to_a_write_is_a_version_or_an_error(server: Server, response: VaultResponse) -> None:
    """A version is a positive number."""
    found = server.ask(lambda api: api.write(ACME, {"a": "b"}, OPERATOR, cas=1), response)

    assert isinstance(found, OperatorError) or (type(found) is int and str(found).isdigit())


@reads_anything
@given(response=RESPONSES, method=st.sampled_from(["approle", "token"]))
def test_any_response_to_a_login_is_a_session_or_an_error(server: Server, response: VaultResponse, method: str) -> None:
    """This includes renewals, lookups and revocations."""
    found = server.ask(lambda api: api.log_in(), response, method=method, logged_in=False)

    assert found is None or isinstance(found, OperatorError)


@reads_anything
@given(response=RESPONSES)
def test_any_response_to_check_is_a_finding(server: Server, response: VaultResponse) -> None:
    """`check` asks for the seal status, a mount and capabilities."""
    for question in (
        VaultApi.require_unsealed,
        lambda api: api.require_mount("secret"),
        lambda api: api.require_capabilities(ACME),
    ):
        found = server.ask(question, response)

        assert found is None or isinstance(found, OperatorError)
