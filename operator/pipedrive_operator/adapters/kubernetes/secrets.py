"""The implementation of `ports.Secrets`. What a Secret contains is decided elsewhere.

Errors are raised `from None`, because the API server's message may contain values, which a traceback would show.
"""

from collections.abc import Mapping
from typing import Any

from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.endpoints import SECRETS
from pipedrive_operator.adapters.kubernetes.refusal import ErrorResponse, Refusal, creation_error, denial
from pipedrive_operator.core.publication.target import TargetSecret, read_target
from pipedrive_operator.core.resource.metadata import read_strings
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import SecretChanged


class KubernetesSecrets:
    """Implements `ports.Secrets`."""

    def __init__(self, api: Api) -> None:
        """Use `api`."""
        self._api = api

    async def read(self, key: Key) -> TargetSecret | None:
        """Return the Secret, or None if it does not exist."""
        body = await self._api.get(SECRETS.at(key))
        return read_target(body) if body else None

    async def create(self, manifest: Mapping[str, Any]) -> TargetSecret:
        """Create a Secret."""
        try:
            body = await self._api.create(SECRETS.collection(manifest["metadata"]["namespace"]), manifest)
        except ErrorResponse as response:
            raise creation_error(response, manifest.get("data") or {}) from None
        return read_target(body)

    async def patch(self, key: Key, patch: Mapping[str, Any]) -> TargetSecret:
        """Apply a merge patch that names the resourceVersion for which it was made."""
        try:
            body = await self._api.merge_patch(SECRETS.at(key), patch)
        except ErrorResponse as response:
            if response.is_not_found or response.is_conflict:
                raise SecretChanged(response.message) from None
            raise denial(response, patch.get("data") or {}, await self._stored_data(key)) from None
        return read_target(body)

    async def delete(self, target: TargetSecret) -> None:
        """Delete that Secret if it still exists unchanged."""
        preconditions = {"uid": target.uid, "resourceVersion": target.resource_version}
        try:
            await self._api.delete(SECRETS.at(target.key), preconditions=preconditions)
        except ErrorResponse as response:
            if not (response.is_not_found or response.is_conflict):
                raise denial(response, await self._stored_data(target.key)) from None

    async def _stored_data(self, key: Key) -> Mapping[str, str]:
        """Return the values of a Secret, only to keep them out of a message: a policy may quote them."""
        try:
            body = await self._api.get(SECRETS.at(key))
        except Refusal:  # RBAC, whose messages quote no values
            return {}
        return read_strings(body, "data") if body else {}
