"""One Vault server as the operator uses it: documents, and what `check` asks.

No request is repeated, but for one that was refused, with a new login.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import assert_never

from pipedrive_operator.adapters.vault import troubles
from pipedrive_operator.adapters.vault.exchange import Answer, Json
from pipedrive_operator.adapters.vault.gate import Gate
from pipedrive_operator.adapters.vault.identity import Identity
from pipedrive_operator.adapters.vault.kubernetes_login import KubernetesLogin
from pipedrive_operator.adapters.vault.login import Login
from pipedrive_operator.adapters.vault.requests import VaultRequests
from pipedrive_operator.adapters.vault.token_login import TokenLogin
from pipedrive_operator.adapters.vault.transport import Transport
from pipedrive_operator.core.secret_value import SecretValue
from pipedrive_operator.core.vault import Document, VaultLocation
from pipedrive_operator.ports import Clock
from pipedrive_operator.settings import VaultAuthMethod, VaultAuthSettings, VaultConnectionSettings


class VaultServer:
    """One connection of the configuration, with the operator's own identity."""

    def __init__(self, name: str, settings: VaultConnectionSettings, clock: Clock) -> None:
        """Take the settings under their name; nothing is opened or asked before the first use."""
        self._name = name
        self._transport = Transport(name, settings)
        self._requests = VaultRequests(Gate(name, self._transport.send, clock).send)
        self._identity = Identity(_login(name, settings.auth, self._requests), self._requests, clock)
        self._version_two: set[str] = set()

    async def aclose(self) -> None:
        """Close the connection."""
        await self._transport.aclose()

    async def read(self, location: VaultLocation) -> Document | None:
        """Return the newest version, as `ports.Vault` has it."""
        answer = await self._as_operator(lambda token: self._requests.read(token, location.mount, location.path))
        metadata = answer.data.get("metadata")
        if answer.status in {HTTPStatus.OK, HTTPStatus.NOT_FOUND} and isinstance(metadata, Mapping):
            self._version_two.add(location.mount)
            return _document(location, metadata, answer.data.get("data"))
        if answer.status == HTTPStatus.NOT_FOUND and not answer.errors:
            await self._require_version_two(location)
            return None
        raise troubles.refused(answer, location, troubles.READ)

    async def write(self, location: VaultLocation, values: Mapping[str, object], *, cas: int) -> int:
        """Write a version by check-and-set, as `ports.Vault` has it."""
        answer = await self._as_operator(
            lambda token: self._requests.write(token, location.mount, location.path, values=values, cas=cas)
        )
        version = answer.data.get("version")
        if answer.status != HTTPStatus.OK or not isinstance(version, int):
            raise troubles.refused(answer, location, troubles.WRITE)
        return version

    async def require_unsealed(self) -> None:
        """Ask whether the server can serve, for a check. Raises VaultUnavailable."""
        status = (await self._requests.seal_status()).body or {}
        if not status.get("initialized", True):
            raise troubles.uninitialised(self._name)
        if status.get("sealed", True):
            raise troubles.sealed(self._name)

    async def log_in(self) -> None:
        """Log in where it has not been done, for a check. Raises VaultDenied, VaultUnavailable."""
        await self._identity.token()

    async def _as_operator(self, ask: Callable[[SecretValue], Awaitable[Answer]]) -> Answer:
        """Ask with the operator's token; a refusal may mean that it died, and then another one is used, once."""
        token = await self._identity.token()
        answer = await ask(token)
        if answer.status != HTTPStatus.FORBIDDEN:
            return answer
        other = await self._identity.replacement(token)
        return answer if other is None else await ask(other)

    async def _require_version_two(self, location: VaultLocation) -> None:
        """Tell an absent path from a KV version 1 engine, which knows no path with `data/` in front either.

        Raises:
            SourceMissing: the mount is one.
        """
        if location.mount in self._version_two:
            return
        answer = await self._as_operator(lambda token: self._requests.mount(token, location.mount))
        if answer.status != HTTPStatus.OK:
            return
        if (answer.data.get("options") or {}).get("version") != "2":
            raise troubles.not_version_two(location)
        self._version_two.add(location.mount)


def _login(name: str, settings: VaultAuthSettings, requests: VaultRequests) -> Login:
    match settings.method:
        case VaultAuthMethod.KUBERNETES:
            return KubernetesLogin(name, settings, requests)
        case VaultAuthMethod.TOKEN:
            return TokenLogin(name, settings, requests)
        case _:
            assert_never(settings.method)


def _document(location: VaultLocation, metadata: Json, values: object) -> Document:
    """Read a version; one that was deleted or destroyed has no values. Raises VaultUnavailable."""
    try:
        created_at = datetime.fromisoformat(metadata["created_time"])
        version = int(metadata["version"])
    except (KeyError, TypeError, ValueError) as error:
        raise troubles.unreadable(location) from error
    held = values if isinstance(values, Mapping) else {}
    return Document(location=location, version=version, created_at=created_at, values=held)
