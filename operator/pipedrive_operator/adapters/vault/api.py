"""The API of one Vault server, as far as the operator uses it: documents, and the questions of `check`.

A request is repeated only if Vault refused it and a new login may help. What a response means is decided in errors.py.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Final, TypeGuard

from pipedrive_operator.adapters.vault import errors, requests
from pipedrive_operator.adapters.vault.auth.methods import operator_login, tenant_login
from pipedrive_operator.adapters.vault.auth.session import Session
from pipedrive_operator.adapters.vault.http.limiter import RequestLimiter
from pipedrive_operator.adapters.vault.http.tls import vault_tls
from pipedrive_operator.adapters.vault.http.transport import Transport
from pipedrive_operator.adapters.vault.material import Material
from pipedrive_operator.adapters.vault.request_and_response import Json, VaultRequest, VaultResponse
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
from pipedrive_operator.core.grant.storable import require_storable
from pipedrive_operator.core.values.errors import VaultDenied
from pipedrive_operator.core.values.times import parse_time
from pipedrive_operator.ports import Clock, LoginMaterial

LARGEST_VERSION: Final = 2**63 - 1
"""The largest version of a document: Vault counts in 64 bits, and Python refuses to print much longer numbers."""
MOST_SESSIONS: Final = 100
"""How many identities of a namespace are logged in at once."""
LOGOUT_TIMEOUT: Final = timedelta(seconds=5)
"""How long the end of the process waits until the tokens are revoked."""


class VaultApi:
    """One connection of the settings, with a session for each identity. Sessions never share a token."""

    def __init__(
        self,
        name: str,
        settings: VaultConnectionSettings,
        clock: Clock,
        cluster: LoginMaterial | None = None,
        on_return: Callable[[], None] = lambda: None,
    ) -> None:
        """Use the settings of the connection of that name; nothing is opened before the first use.

        `on_return` is called when an outage of the server ends.
        """
        self._name = name
        self._settings = settings
        self._clock = clock
        self._material = Material(name, cluster)
        self._transport = Transport(name, settings, vault_tls(name, settings, self._material), clock)
        self._limiter = RequestLimiter(name, self._transport.send, clock, on_return)
        send = partial(self._limiter.send, caller=str(OPERATOR))
        self._operator = Session(operator_login(name, settings.auth, send, self._material), send, clock)
        self._tenants: dict[TenantIdentity, Session] = {}
        """By identity, the one that was used last at the end."""
        self._version_two: set[str] = set()

    async def aclose(self) -> None:
        """Log out every identity, and close the connection."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOGOUT_TIMEOUT.total_seconds()):
                await asyncio.gather(*(session.aclose() for session in (self._operator, *self._tenants.values())))
        await self._transport.aclose()

    async def read(self, location: VaultLocation, identity: VaultIdentity) -> Document | None:
        """Return the newest version, as `ports.Vault` describes."""
        session = await self._session(identity)
        response = await session.send(requests.read_document(location.mount, location.path))
        metadata = response.data.get("metadata")
        if (left_out := errors.body_left_out(response, location)) is not None:
            raise left_out
        if response.status in {HTTPStatus.OK, HTTPStatus.NOT_FOUND} and isinstance(metadata, Mapping):
            self._version_two.add(location.mount)
            return _document(location, metadata, response.data.get("data"))
        if response.status == HTTPStatus.NOT_FOUND and not response.errors:
            await self._require_version_two(location, session)
            return None
        raise errors.refused(response, location, errors.READ, identity)

    async def write(
        self, location: VaultLocation, values: Mapping[str, object], identity: VaultIdentity, *, cas: int
    ) -> int:
        """Write a version by check-and-set, as `ports.Vault` describes."""
        session = await self._session(identity)
        response = await session.send(requests.write_document(location.mount, location.path, values=values, cas=cas))
        version = response.data.get("version")
        if response.status != HTTPStatus.OK or not _is_version(version):
            raise errors.refused(response, location, errors.WRITE, identity)
        return version

    async def require_unsealed(self) -> None:
        """Check that the server is initialised and unsealed. Raises VaultUnavailable."""
        status = (await self._limiter.send(requests.read_seal_status())).body or {}
        if not status.get("initialized", True):
            raise errors.uninitialised(self._name)
        if status.get("sealed", True):
            raise errors.sealed(self._name)

    async def log_in(self, identity: VaultIdentity = OPERATOR) -> None:
        """Check that an identity can log in. Raises VaultDenied, VaultUnavailable."""
        await (await self._session(identity)).token()

    async def require_mount(self, mount: str) -> None:
        """Check that a mount is a KV version 2 engine. Raises SourceMissing, VaultDenied, VaultUnavailable."""
        location = VaultLocation(connection=self._name, mount=mount, path="")
        response = await self._ask(requests.read_mount(mount))
        if response.status == HTTPStatus.OK and not _is_version_two(response.data):
            raise errors.not_version_two(location)
        if response.status != HTTPStatus.OK:
            raise errors.mount_hidden(location)

    async def require_capabilities(self, location: VaultLocation) -> None:
        """Check that the operator may read and write a path. Raises VaultDenied, VaultUnavailable."""
        path = f"{location.mount}/data/{location.path}"
        response = await self._ask(requests.read_capabilities([path]))
        granted = response.data.get(path) or response.data.get("capabilities")
        granted = granted if isinstance(granted, list) else []
        missing = tuple(one for one in (*errors.READ, *errors.WRITE) if one not in granted)
        if "root" not in granted and missing:
            raise errors.capabilities_missing(location, missing)

    async def _ask(self, request: VaultRequest) -> VaultResponse:
        """Send a request with the operator's own token. Raises what `Session.send` raises."""
        response = await self._operator.send(request)
        if (unknown := errors.token_unknown(response, self._name)) is not None:
            raise unknown
        return response

    async def _session(self, identity: VaultIdentity) -> Session:
        """Return the session of an identity, and close tenants' sessions that are not needed any more.

        Raises:
            VaultDenied: tenants may not log in to this connection.
        """
        if isinstance(identity, OperatorIdentity):
            return self._operator
        if not self._settings.tenant_auth.enabled:
            message = (
                f'The operator\'s settings do not let {identity} log in to Vault connection "{self._name}": set '
                f"vault.connections.{self._name}.tenantAuth.enabled, or remove spec.vault.auth to use the operator's "
                "own login"
            )
            raise VaultDenied(message)
        if (session := self._tenants.pop(identity, None)) is not None:
            self._tenants[identity] = session
            return session
        former = self._unneeded(identity.namespace)
        send = partial(self._limiter.send, caller=str(identity))
        login = tenant_login(self._name, self._settings.tenant_auth, send, self._material, identity)
        session = self._tenants[identity] = Session(login, send, self._clock, serves=identity.namespace)
        for one in former:
            await one.aclose()
        return session

    def _unneeded(self, namespace: str) -> list[Session]:
        """Remove and return the sessions that were not used for long, and the oldest of a namespace with too many.

        A tenant can name another role every second, and a session without a login takes memory as well.
        """
        idle = [one for one, session in self._tenants.items() if session.is_idle]
        of_namespace = [one for one in self._tenants if one.namespace == namespace]
        surplus = of_namespace[: max(0, len(of_namespace) + 1 - MOST_SESSIONS)]
        return [self._tenants.pop(one) for one in {*idle, *surplus}]

    async def _require_version_two(self, location: VaultLocation, session: Session) -> None:
        """Distinguish a missing document from a KV version 1 engine, which does not know the path either.

        Raises:
            SourceMissing: the mount is a KV version 1 engine.
        """
        if location.mount in self._version_two:
            return
        response = await session.send(requests.read_mount(location.mount))
        if response.status != HTTPStatus.OK:
            return
        if not _is_version_two(response.data):
            raise errors.not_version_two(location)
        self._version_two.add(location.mount)


def _is_version_two(mount: Json) -> bool:
    options = mount.get("options")
    return isinstance(options, Mapping) and options.get("version") == "2"


def _is_version(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_VERSION


def _document(location: VaultLocation, metadata: Json, values: object) -> Document:
    """Read a version; one that was deleted or destroyed has no values. Raises VaultUnavailable, SourceMissing."""
    version, created_time = metadata.get("version"), metadata.get("created_time")
    created_at = parse_time(created_time) if isinstance(created_time, str) else None
    if not _is_version(version) or created_at is None:
        raise errors.unreadable(location)
    if not isinstance(values, Mapping):
        return Document(location=location, version=version, created_at=created_at, values={}, loss=_loss(metadata))
    require_storable(location, values)
    return Document(location=location, version=version, created_at=created_at, values=values)


def _loss(metadata: Json) -> Loss:
    """Return why a version has no values.

    Its deletion time does not say whether it was deleted: with `delete_version_after` it lies in the future, and then
    Vault returns the values (https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#delete_version_after).
    """
    return Loss.DESTROYED if metadata.get("destroyed") else Loss.DELETED
