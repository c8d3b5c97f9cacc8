"""The escrow: refreshed grants that Vault has not stored yet, in Secrets of the operator's namespace.

Each is encrypted with a key derived from the OAuth2 client's secret, which only Vault holds: someone who can read
Secrets in the operator's namespace, but not Vault, learns nothing. It is bound to its grant and to the refresh that
returned it, so that it cannot be decrypted for any other.
"""

import base64
import hashlib
import json
import os
from contextlib import suppress
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipedrive_operator import metrics
from pipedrive_operator.adapters.kubernetes.api import Api, Body
from pipedrive_operator.adapters.kubernetes.endpoints import SECRETS, Endpoint
from pipedrive_operator.core.grant.document import Document, VaultLocation
from pipedrive_operator.core.grant.grant import Grant, read_grant, write_grant
from pipedrive_operator.core.resource.names import GROUP, Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable, GrantUnstored
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.ports import Clock

LABEL: Final = f"{GROUP}/escrow"
_GRANT: Final = f"{GROUP}/grant"
_REFRESH: Final = f"{GROUP}/refresh-id"
_NONCE_BYTES: Final = 12


class KubernetesEscrow:
    """Implements `ports.Escrow`."""

    def __init__(self, api: Api, namespace: str, clock: Clock) -> None:
        """Use the gateway, in the operator's own namespace."""
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._kept: dict[str, Body] = {}
        """The existing Secrets, by name: only the leader writes them, and it has listed them."""
        self._doubtful: dict[str, str] = {}
        """Names of Secrets to read again, because the outcome of a request is unknown; each with its refresh."""

    async def load(self) -> list[str]:
        """List the escrow, and return the grants that other processes have added since. Raises ApiServerUnavailable.

        Secrets that differ between the list and this process are read again before they are used: this process may
        have written in the meantime.
        """
        collection = SECRETS.collection(self._namespace)
        listed: list[Body] = [body async for page in self._api.pages(collection, labels=LABEL) for body in page.items]
        found = {body["metadata"]["name"]: body for body in listed}
        left = {name: body for name, body in found.items() if name not in self._kept}
        gone = {name: body for name, body in self._kept.items() if name not in found}
        for name, body in (left | gone).items():
            self._doubtful.setdefault(name, _annotation(body, _REFRESH))
        self._kept |= left
        metrics.show_escrow(len(self._kept))
        return sorted(_annotation(body, _GRANT) or name for name, body in left.items())

    def holds(self, location: VaultLocation) -> bool:
        """Return whether an escrow exists, or may exist, for a location."""
        name = _name(location)
        return name in self._kept or name in self._doubtful

    async def find(self, location: VaultLocation) -> bool:
        """Return whether an escrow exists for a location, whichever process created it. Raises ApiServerUnavailable."""
        name = _name(location)
        found = await self._api.get(self._at(name))
        self._doubtful.pop(name, None)
        self._kept.pop(name, None)
        if found is not None:
            self._kept[name] = found
        metrics.show_escrow(len(self._kept))
        return found is not None

    async def keep(self, location: VaultLocation, grant: Grant, refresh_id: str, key: SecretValue) -> bool:
        """Create an escrow for a grant unless it exists, and return whether it certainly exists."""
        name = _name(location)
        try:
            held = await self._current(name)
            if held is None or _annotation(held, _REFRESH) != refresh_id:
                self._kept[name] = await self._put(held, self._manifest(location, grant, refresh_id, key))
        except ApiServerUnavailable:
            self._doubtful.setdefault(name, refresh_id)
            metrics.count_escrow_failure()
            return False
        metrics.show_escrow(len(self._kept))
        return True

    async def open(self, location: VaultLocation, key: SecretValue) -> Grant | None:
        """Return the grant in escrow for a location, or None.

        Raises:
            GrantUnstored: it cannot be decrypted with this key.
        """
        name = _name(location)
        with suppress(ApiServerUnavailable):
            await self._current(name)
        body = self._kept.get(name)
        if body is None:
            return None
        try:
            sealed = base64.b64decode(body["data"]["sealed"])
            refresh_id = body["metadata"]["annotations"][_REFRESH]
            cipher = AESGCM(_derived(key, refresh_id))
            text = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(location, refresh_id))
        except (InvalidTag, KeyError, ValueError) as error:
            self._doubtful[name] = _annotation(body, _REFRESH)  # read it again, as a person may delete it
            message = (
                f"Secret {self._namespace}/{name} holds a refreshed grant for {location} that the client secret in "
                "Vault does not open, so the client secret has changed since: put back the client secret of that time "
                "until the grant is stored, or delete the Secret, which loses the grant, and consent again"
            )
            raise GrantUnstored(message) from error
        document = Document(location=location, version=0, created_at=self._clock.now(), values=json.loads(text))
        return read_grant(document)

    async def drop(self, location: VaultLocation) -> None:
        """Delete the escrow of a location. If that fails, it stays and is deleted when it is next read."""
        name = _name(location)
        try:
            held = await self._current(name)
            if held is not None:
                preconditions = {key: held["metadata"][key] for key in ("uid", "resourceVersion")}
                await self._api.delete(self._at(name), preconditions=preconditions)
                del self._kept[name]
        except ApiServerUnavailable:
            if name in self._kept:
                self._doubtful.setdefault(name, _annotation(self._kept[name], _REFRESH))
            metrics.count_escrow_failure()
        metrics.show_escrow(len(self._kept))

    async def _current(self, name: str) -> Body | None:
        """Return a known Secret, after reading it again if its state is doubtful. Raises ApiServerUnavailable."""
        refresh_id = self._doubtful.get(name)
        if refresh_id is None:
            return self._kept.get(name)
        found = await self._api.get(self._at(name))
        del self._doubtful[name]
        known = self._kept.pop(name, None)
        # Any other was written by another process, and may hold a newer grant.
        if found is not None and (_annotation(found, _REFRESH) == refresh_id or _version(found) == _version(known)):
            self._kept[name] = found
        return self._kept.get(name)

    async def _put(self, held: Body | None, manifest: Body) -> Body:
        """Create the Secret, or replace the one of an earlier refresh."""
        if held is None:
            return await self._api.create(SECRETS.collection(self._namespace), manifest)
        patch = manifest | {"metadata": manifest["metadata"] | {"resourceVersion": _version(held)}}
        return await self._api.merge_patch(self._at(held["metadata"]["name"]), patch)

    def _at(self, name: str) -> Endpoint:
        return SECRETS.at(Key(namespace=self._namespace, name=name))

    def _manifest(self, location: VaultLocation, grant: Grant, refresh_id: str, key: SecretValue) -> Body:
        nonce = os.urandom(_NONCE_BYTES)
        text = json.dumps(write_grant(grant, {})).encode()
        sealed = nonce + AESGCM(_derived(key, refresh_id)).encrypt(nonce, text, _bound(location, refresh_id))
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "namespace": self._namespace,
                "name": _name(location),
                "labels": {LABEL: "true"},
                "annotations": {_GRANT: f"{location.connection}: {location}", _REFRESH: refresh_id},
            },
            "data": {"sealed": base64.b64encode(sealed).decode()},
        }


def _name(location: VaultLocation) -> str:
    """Return the name of the Secret, which follows from the grant: each grant has at most one."""
    digest = hashlib.sha256(json.dumps([location.connection, location.mount, location.path]).encode()).hexdigest()
    return f"pipedrive-operator-escrow-{digest[:24]}"


def _annotation(body: Body, key: str) -> str:
    """Return an annotation, or an empty string if someone removed it."""
    return str((body["metadata"].get("annotations") or {}).get(key, ""))


def _version(body: Body | None) -> str | None:
    return None if body is None else body["metadata"]["resourceVersion"]


def _derived(key: SecretValue, refresh_id: str) -> bytes:
    derivation = HKDF(algorithm=SHA256(), length=32, salt=refresh_id.encode(), info=b"pipedrive-operator escrow v1")
    return derivation.derive(key.reveal().encode())


def _bound(location: VaultLocation, refresh_id: str) -> bytes:
    return json.dumps([location.connection, location.mount, location.path, refresh_id]).encode()
