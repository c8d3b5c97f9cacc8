"""The implementation of `ports.ConsentAnswers`: reads one consent, and stores the answer of Pipedrive in it.

No error quotes the API server about a stored answer, because the quotation could contain the code.
"""

from http import HTTPStatus

from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.endpoints import CONSENTS
from pipedrive_operator.adapters.kubernetes.refusal import ErrorResponse
from pipedrive_operator.core.resource.consent import Answer, Consent, read_consent
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable, InvalidSpec


class KubernetesConsentAnswers:
    """Implements `ports.ConsentAnswers`."""

    def __init__(self, api: Api) -> None:
        """Use `api`, whose identity may get and patch consents."""
        self._api = api

    async def read(self, key: Key) -> Consent | None:
        """Return a consent, or None if it does not exist or its spec cannot be read."""
        body = await self._api.get(CONSENTS.at(key))
        try:
            return None if body is None else read_consent(body)
        except InvalidSpec:
            return None

    async def answer(self, consent: Consent, answer: Answer) -> bool:
        """Store an answer; return False if the consent no longer exists, or was deleted and created again.

        The uid cannot change, so a patch that is meant for an earlier consent of that name is invalid.
        """
        spec = {"answer": {"code": answer.code.reveal(), "state": answer.state.reveal()}}
        try:
            await self._api.merge_patch(CONSENTS.at(consent.key), {"metadata": {"uid": consent.uid}, "spec": spec})
        except ErrorResponse as response:
            if response.code in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY}:
                return False
            message = (
                f"the API server refused to store Pipedrive's answer in consent {consent.key} "
                f"(HTTP status {response.code})"
            )
            raise ApiServerUnavailable(message) from None
        return True
