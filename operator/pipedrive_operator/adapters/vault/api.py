"""One Vault server as the operator uses it: documents, and what `check` asks.

No request is repeated, but for one that was refused, with a new login.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from pipedrive_operator.adapters.vault import errors as troubles
from pipedrive_operator.adapters.vault.auth.methods import TenantLogin, operator_login
from pipedrive_operator.adapters.vault.auth.session import Identity
from pipedrive_operator.adapters.vault.exchange import Answer, Json
from pipedrive_operator.adapters.vault.http.limiter import Gate
from pipedrive_operator.adapters.vault.http.tls import Tls
from pipedrive_operator.adapters.vault.http.transport import Transport
from pipedrive_operator.adapters.vault.material import Material
from pipedrive_operator.adapters.vault.requests import VaultRequests
from pipedrive_operator.config.vault import VaultConnectionSettings
from pipedrive_operator.core.grant.document import (
    OPERATOR,
    Document,
    Loss,
    OperatorIdentity,
    TenantIdentity,
    VaultIdentity,
    VaultLocation,
)
from pipedrive_operator.core.values.errors import VaultDenied
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.ports import Clock, LoginMaterial

LONGEST_FAREWELL: Final = timedelta(seconds=5)
"""How long the end of the process waits for tokens to be revoked."""


class VaultServer:
    """One connection of the configuration, and everybody who is logged in there; their tokens are never mixed up."""

    def __init__(
        self,
        name: str,
        settings: VaultConnectionSettings,
        clock: Clock,
        cluster: LoginMaterial | None = None,
        on_return: Callable[[], None] = lambda: None,
    ) -> None:
        """Take the settings under their name; nothing is opened or asked before the first use.

        `on_return` is called when the server serves again after it did not.
        """
        self._name = name
        self._settings = settings
        self._clock = clock
        self._material = Material(name, cluster)
        self._transport = Transport(name, settings, Tls(name, settings, self._material))
        self._requests = VaultRequests(Gate(name, self._transport.send, clock, on_return).send)
        login = operator_login(name, settings.auth, self._requests, self._material)
        self._operator = Identity(login, self._requests, clock)
        self._tenants: dict[TenantIdentity, Identity] = {}
        self._version_two: set[str] = set()

    async def aclose(self) -> None:
        """Log everybody out, and close the connection."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_FAREWELL.total_seconds()):
                await asyncio.gather(*(one.aclose() for one in (self._operator, *self._tenants.values())))
        await self._transport.aclose()

    async def read(self, location: VaultLocation, identity: VaultIdentity) -> Document | None:
        """Return the newest version, as `ports.Vault` has it."""
        answer = await self._as(identity, lambda token: self._requests.read(token, location.mount, location.path))
        metadata = answer.data.get("metadata")
        if answer.status in {HTTPStatus.OK, HTTPStatus.NOT_FOUND} and isinstance(metadata, Mapping):
            self._version_two.add(location.mount)
            return _document(location, metadata, answer.data.get("data"))
        if answer.status == HTTPStatus.NOT_FOUND and not answer.errors:
            await self._require_version_two(location, identity)
            return None
        raise troubles.refused(answer, location, troubles.READ, identity)

    async def write(
        self, location: VaultLocation, values: Mapping[str, object], identity: VaultIdentity, *, cas: int
    ) -> int:
        """Write a version by check-and-set, as `ports.Vault` has it."""
        answer = await self._as(
            identity, lambda token: self._requests.write(token, location.mount, location.path, values=values, cas=cas)
        )
        version = answer.data.get("version")
        if answer.status != HTTPStatus.OK or not isinstance(version, int):
            raise troubles.refused(answer, location, troubles.WRITE, identity)
        return version

    async def require_unsealed(self) -> None:
        """Ask whether the server can serve, for a check. Raises VaultUnavailable."""
        status = (await self._requests.seal_status()).body or {}
        if not status.get("initialized", True):
            raise troubles.uninitialised(self._name)
        if status.get("sealed", True):
            raise troubles.sealed(self._name)

    async def log_in(self, identity: VaultIdentity = OPERATOR) -> None:
        """Log in where it has not been done, for a check. Raises VaultDenied, VaultUnavailable."""
        await (await self._identity(identity)).token()

    async def require_mount(self, mount: str) -> None:
        """Ask whether a mount is KV version 2, for a check. Raises SourceMissing, VaultDenied, VaultUnavailable."""
        location = VaultLocation(connection=self._name, mount=mount, path="")
        answer = await self._as(OPERATOR, lambda token: self._requests.mount(token, mount))
        if answer.status == HTTPStatus.OK and (answer.data.get("options") or {}).get("version") != "2":
            raise troubles.not_version_two(location)
        if answer.status != HTTPStatus.OK:
            raise troubles.mount_unseen(location)

    async def require_rights(self, location: VaultLocation) -> None:
        """Ask whether the operator may read and write a path, for a check. Raises VaultDenied, VaultUnavailable."""
        path = f"{location.mount}/data/{location.path}"
        answer = await self._as(OPERATOR, lambda token: self._requests.capabilities(token, [path]))
        held = set(answer.data.get(path) or answer.data.get("capabilities") or ())
        needed = (*troubles.READ, *troubles.WRITE)
        if "root" not in held and not held.issuperset(needed):
            raise troubles.rights_missing(location, tuple(one for one in needed if one not in held))

    async def _as(self, identity: VaultIdentity, ask: Callable[[SecretValue], Awaitable[Answer]]) -> Answer:
        """Ask with somebody's token; a refusal may mean that it died, and then another one is used, once."""
        somebody = await self._identity(identity)
        token = await somebody.token()
        answer = await ask(token)
        if answer.status != HTTPStatus.FORBIDDEN:
            return answer
        other = await somebody.replacement(token)
        return answer if other is None else await ask(other)

    async def _identity(self, identity: VaultIdentity) -> Identity:
        """Return who is logged in as that; a tenant's ServiceAccount and role make one, and nothing less does."""
        if isinstance(identity, OperatorIdentity):
            return self._operator
        if not self._settings.tenant_auth.enabled:
            message = f"vault.connections.{self._name}.tenantAuth.enabled is not set: {identity} cannot log in"
            raise VaultDenied(message)
        if (known := self._tenants.get(identity)) is not None:
            return known
        abandoned = [one for one, held in self._tenants.items() if held.is_abandoned]
        left = [self._tenants.pop(one) for one in abandoned]
        login = TenantLogin(self._name, self._settings.tenant_auth, self._requests, self._material, identity)
        made = self._tenants[identity] = Identity(login, self._requests, self._clock)
        for held in left:
            await held.aclose()
        return made

    async def _require_version_two(self, location: VaultLocation, identity: VaultIdentity) -> None:
        """Tell an absent path from a KV version 1 engine, which knows no path with `data/` in front either.

        Raises:
            SourceMissing: the mount is one.
        """
        if location.mount in self._version_two:
            return
        answer = await self._as(identity, lambda token: self._requests.mount(token, location.mount))
        if answer.status != HTTPStatus.OK:
            return
        if (answer.data.get("options") or {}).get("version") != "2":
            raise troubles.not_version_two(location)
        self._version_two.add(location.mount)


def _document(location: VaultLocation, metadata: Json, values: object) -> Document:
    """Read a version; one that was deleted or destroyed has no values. Raises VaultUnavailable."""
    try:
        created_at = datetime.fromisoformat(metadata["created_time"])
        version = int(metadata["version"])
    except (KeyError, TypeError, ValueError) as error:
        raise troubles.unreadable(location) from error
    held = values if isinstance(values, Mapping) else {}
    return Document(location=location, version=version, created_at=created_at, values=held, loss=_loss(metadata))


def _loss(metadata: Json) -> Loss | None:
    if metadata.get("destroyed"):
        return Loss.DESTROYED
    return Loss.DELETED if metadata.get("deletion_time") else None
