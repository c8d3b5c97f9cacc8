"""The implementation of `ports.Consents`: writes statuses of consents, and deletes consents.

No error quotes the API server, because the quotation could contain the code in an answer.
"""

from http import HTTPStatus
from typing import Final

from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.endpoints import CONSENTS
from pipedrive_operator.adapters.kubernetes.refusal import ErrorResponse
from pipedrive_operator.core.resource.consent import Consent, ConsentStatus, read_consent, write_consent_status
from pipedrive_operator.core.values.errors import ApiServerUnavailable

_CHANGED: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY})
"""Another resourceVersion, another uid, or no such consent."""


class KubernetesConsents:
    """Implements `ports.Consents`."""

    def __init__(self, api: Api) -> None:
        """Use `api`, whose identity may patch the status of consents, and delete consents."""
        self._api = api

    async def patch_status(self, consent: Consent, status: ConsentStatus) -> Consent | None:
        """Replace the status of exactly this consent, and return it; None if it changed or is gone."""
        metadata = {"uid": consent.uid, "resourceVersion": consent.resource_version}
        patch = {"metadata": metadata, "status": write_consent_status(status)}
        try:
            return read_consent(await self._api.merge_patch(CONSENTS.at(consent.key, subresource="status"), patch))
        except ErrorResponse as response:
            if response.code in _CHANGED:
                return None
            raise _failed("write the status of", response) from None

    async def delete(self, consent: Consent) -> None:
        """Delete exactly this consent; do nothing if it changed or is gone."""
        preconditions = {"uid": consent.uid, "resourceVersion": consent.resource_version}
        try:
            await self._api.delete(CONSENTS.at(consent.key), preconditions=preconditions)
        except ErrorResponse as response:
            if not response.is_not_found and not response.is_conflict:  # 422: a policy denies it
                raise _failed("delete", response) from None


def _failed(what: str, response: ErrorResponse) -> ApiServerUnavailable:
    return ApiServerUnavailable(f"the API server refused to {what} a consent with HTTP status {response.code}")
