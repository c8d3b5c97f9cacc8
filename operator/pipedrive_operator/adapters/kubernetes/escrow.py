"""The escrow: refreshed grants that Vault has not stored yet, in Secrets of the operator's namespace.

Each result of a refresh has a Secret of its own, which is written once and never replaced: a process with an older
result cannot overwrite a newer one. It is encrypted with a key derived from the OAuth2 client's secret, which only
Vault holds: someone who can read Secrets in the operator's namespace, but not Vault, learns nothing. It is bound to its
grant and to the refresh that returned it, so that it cannot be decrypted for any other.

Which copy is stored in Vault, and when a copy is dropped, is decided elsewhere.
"""

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from pipedrive_operator import metrics
from pipedrive_operator.adapters.kubernetes import sealing
from pipedrive_operator.adapters.kubernetes.api import Body, Page
from pipedrive_operator.adapters.kubernetes.endpoints import SECRETS, Endpoint
from pipedrive_operator.adapters.kubernetes.refusal import Refusal
from pipedrive_operator.core.grant.candidate import ASIDE
from pipedrive_operator.core.grant.consent import how_to_consent
from pipedrive_operator.core.grant.document import Document, VaultLocation
from pipedrive_operator.core.grant.grant import Grant, read_grant, write_grant
from pipedrive_operator.core.grant.succession import EscrowedGrant
from pipedrive_operator.core.resource.names import GROUP, Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable, GrantUnstored
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.ports import Clock

LABEL: Final = f"{GROUP}/escrow"
_PREFIX: Final = "pipedrive-operator-escrow-"
_GRANT: Final = f"{GROUP}/grant"
_REFRESH: Final = f"{GROUP}/refresh-id"
_DIGITS: Final = 24
"""How many hexadecimal digits of a digest are part of a name."""


class Gateway(Protocol):
    """The verbs of the API server that the escrow needs; `Api` has them."""

    def pages(self, endpoint: Endpoint, *, labels: str = "") -> AsyncIterator[Page]:
        """List a collection."""

    async def get(self, endpoint: Endpoint) -> Body | None:
        """Return an object, or None if it does not exist."""

    async def create(self, endpoint: Endpoint, body: Mapping[str, object]) -> Body:
        """Create an object, and return it as it was stored."""

    async def delete(self, endpoint: Endpoint, *, preconditions: Mapping[str, str] | None = None) -> None:
        """Delete an object."""


@dataclass(frozen=True, slots=True)
class _Copy:
    """What a Secret holds, as far as its name and annotations say."""

    grant: str
    """The digest of the location."""
    refresh_id: str


class KubernetesEscrow:
    """Implements `ports.Escrow`."""

    def __init__(self, api: Gateway, namespace: str, clock: Clock) -> None:
        """Use the gateway, in the operator's own namespace."""
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._known: dict[str, _Copy] = {}
        """The Secrets that exist, or may exist, by name. Never their content: each use reads it from the cluster."""
        self._in_writing: set[str] = set()
        """The names of those that are being created: a list that lacks one may be older than it."""
        self._appeared: frozenset[str] = frozenset()
        """The grants of which the last `load` has found an escrow that was not known before, as digests."""

    async def load(self) -> list[str]:
        """List the escrow, and return the grants that other processes have added since. Raises ApiServerUnavailable."""
        before, settled = set(self._known), self._settled()
        listed = {body["metadata"]["name"]: body for body in await self._list()}
        dropped_since = before - self._known.keys()
        found = {name: body for name, body in listed.items() if name not in dropped_since}
        added = {name: body for name, body in found.items() if name not in self._known}
        written_since = {name: copy for name, copy in self._known.items() if name not in settled}
        self._known = {name: _copy(body) for name, body in found.items()} | written_since
        self._appeared = frozenset(_copy(body).grant for body in added.values())
        metrics.show_escrow(len(self._known))
        return sorted(_annotation(body, _GRANT) or name for name, body in added.items())

    def holds(self, location: VaultLocation) -> bool:
        """Return whether an escrow exists, or may exist, for a location."""
        return any(copy.grant == _digest(location) for copy in self._known.values())

    def appeared(self, location: VaultLocation) -> bool:
        """Return whether the last `load` has found an escrow for a location that was not known before."""
        return _digest(location) in self._appeared

    async def keep(self, location: VaultLocation, grant: Grant, refresh_id: str, key: SecretValue) -> bool:
        """Create an escrow for the result of a refresh, and return whether the cluster certainly holds it.

        The answer is about what the API server returned just now: a person may delete an escrow, and admission may
        change one.
        """
        name = _name(location, refresh_id)
        self._in_writing.add(name)
        try:
            stored = await self._api.get(self._at(name)) if name in self._known else None
            self._known[name] = _Copy(_digest(location), refresh_id)
            if stored is None:
                manifest = self._manifest(location, grant, refresh_id, key)
                stored = await self._api.create(SECRETS.collection(self._namespace), manifest)
            is_kept = _is_listed(stored) and self._opened(stored, location, key).grant.lineage == grant.lineage
        except (ApiServerUnavailable, GrantUnstored):
            is_kept = False
        finally:
            self._in_writing.discard(name)
        if not is_kept:
            metrics.count_escrow_failure()
        metrics.show_escrow(len(self._known))
        return is_kept

    async def open(self, location: VaultLocation, key: SecretValue) -> tuple[EscrowedGrant, ...]:
        """Return all grants in escrow for a location, as the cluster holds them now.

        Candidates that were set aside are left out if they cannot be decrypted: nothing waits for them.

        Raises:
            GrantUnstored: one of them cannot be decrypted with this key.
            ApiServerUnavailable: the escrow cannot be listed.
        """
        digest, before = _digest(location), self._settled()
        listed = {body["metadata"]["name"]: body for body in await self._list() if _copy(body).grant == digest}
        gone = {name for name, copy in before.items() if name not in listed and copy.grant == digest}
        self._known = {name: copy for name, copy in self._known.items() if name not in gone}
        self._known |= {name: _copy(body) for name, body in listed.items()}
        metrics.show_escrow(len(self._known))
        left_out = [body for body in listed.values() if self._is_unreadable_aside(body, location, key)]
        return tuple(self._opened(body, location, key) for body in listed.values() if body not in left_out)

    async def drop(self, location: VaultLocation, refresh_id: str) -> None:
        """Delete the escrow of a refresh, if there may be one. If that fails, it is deleted when it is next read."""
        copy = _Copy(_digest(location), refresh_id)
        for name in [name for name, known in self._known.items() if known == copy]:
            try:
                await self._api.delete(self._at(name))
            except Refusal as refusal:
                if not refusal.is_not_found:
                    metrics.count_escrow_failure()
                    continue
            except ApiServerUnavailable:
                metrics.count_escrow_failure()
                continue
            self._known.pop(name, None)
        metrics.show_escrow(len(self._known))

    def _settled(self) -> dict[str, _Copy]:
        """Return the known Secrets of which a list that begins now shows whether they are gone."""
        return {name: copy for name, copy in self._known.items() if name not in self._in_writing}

    async def _list(self) -> list[Body]:
        collection = SECRETS.collection(self._namespace)
        return [body async for page in self._api.pages(collection, labels=LABEL) for body in page.items]

    def _is_unreadable_aside(self, body: Body, location: VaultLocation, key: SecretValue) -> bool:
        """Return whether a candidate that was set aside cannot be decrypted."""
        return _annotation(body, _REFRESH).startswith(ASIDE) and unseal(body, location, key, clock=self._clock) is None

    def _opened(self, body: Body, location: VaultLocation, key: SecretValue) -> EscrowedGrant:
        grant = unseal(body, location, key, clock=self._clock)
        if grant is None:
            message = (
                f"Secret {self._namespace}/{body['metadata']['name']} holds a refreshed grant for {location}, "
                "which cannot be decrypted because the client secret in Vault has changed since. Put back the former "
                "client secret until the grant is stored. If you no longer have it, delete the Secret, which loses "
                "this grant. "
                f"{how_to_consent(location.path)}"
            )
            raise GrantUnstored(message)
        return EscrowedGrant(grant=grant, refresh_id=_annotation(body, _REFRESH))

    def _at(self, name: str) -> Endpoint:
        return SECRETS.at(Key(namespace=self._namespace, name=name))

    def _manifest(self, location: VaultLocation, grant: Grant, refresh_id: str, key: SecretValue) -> Body:
        text = json.dumps(write_grant(grant, {})).encode()
        sealed = sealing.seal(text, key, refresh_id, bound_to=_bound(location, refresh_id))
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "namespace": self._namespace,
                "name": _name(location, refresh_id),
                "labels": {LABEL: "true"},
                "annotations": {_GRANT: f"{location.connection}: {location}", _REFRESH: refresh_id},
            },
            "data": {"sealed": base64.b64encode(sealed).decode()},
        }


def unseal(body: Body, location: VaultLocation, key: SecretValue, *, clock: Clock) -> Grant | None:
    """Return the grant that a Secret of the escrow holds; None if it cannot be decrypted with this key."""
    try:
        sealed = base64.b64decode(body["data"]["sealed"])
        refresh_id = body["metadata"]["annotations"][_REFRESH]
        text = sealing.unseal(sealed, key, refresh_id, bound_to=_bound(location, refresh_id))
        document = Document(location=location, version=0, created_at=clock.now(), values=json.loads(text))
    except (KeyError, TypeError, ValueError):
        return None
    return read_grant(document)


def _name(location: VaultLocation, refresh_id: str) -> str:
    """Return the name of the Secret, which follows from the grant and the refresh."""
    refresh = hashlib.sha256(refresh_id.encode()).hexdigest()
    return f"{_PREFIX}{_digest(location)}-{refresh[:_DIGITS]}"


def _copy(body: Body) -> _Copy:
    """Return what a Secret holds. Before there was one for each refresh, the name had no second digest."""
    grant, _, _ = body["metadata"]["name"].removeprefix(_PREFIX).partition("-")
    return _Copy(grant, _annotation(body, _REFRESH))


def _is_listed(body: Body) -> bool:
    """Return whether a list of the escrow shows a Secret: admission may replace its labels."""
    return LABEL in (body["metadata"].get("labels") or {})


def _digest(location: VaultLocation) -> str:
    text = json.dumps([location.connection, location.mount, location.path])
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _annotation(body: Body, key: str) -> str:
    """Return an annotation, or an empty string if someone removed it."""
    return str((body["metadata"].get("annotations") or {}).get(key, ""))


def _bound(location: VaultLocation, refresh_id: str) -> bytes:
    return json.dumps([location.connection, location.mount, location.path, refresh_id]).encode()
