"""What an error response of the API server means: the only place that turns its Status into an OperatorError.

Status codes and reasons: https://github.com/kubernetes/apimachinery/blob/master/pkg/apis/meta/v1/types.go.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from pipedrive_operator.adapters.kubernetes.quotation import Data, hide_field_values, hide_secret_values, quote
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    NamespaceBeingDeleted,
    OperatorError,
    SecretExists,
    SecretWriteDenied,
)

_RETRYABLE_CODES: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Status codes of responses that say nothing about the request itself: it is worth repeating unchanged."""
_RETRYABLE_REASONS: Final = frozenset({"ServerTimeout", "Timeout", "ServiceUnavailable", "TooManyRequests"})
_DENIED_BY_WEBHOOK: Final = re.compile(r'admission webhook "[^"]*" denied the request')
"""How the API server begins the message of a denial. The rest of that Status, even its code, comes from the webhook."""


class ErrorResponse(ApiServerUnavailable):
    """The API server did not do what was requested, and said why in a Status (`meta/v1`).

    It is an ApiServerUnavailable, so a caller without a more precise meaning for it need not know it.
    """

    def __init__(self, code: int, status: Mapping[str, Any]) -> None:
        """Read a Status that came with an HTTP status code."""
        self.code = code
        self.message = _message(status)
        super().__init__(f"the API server responded {code}: {quote(self.message)}")
        self.reason = _text(status.get("reason"))
        details = _mapping(status.get("details"))
        causes = details.get("causes")
        self._kind = _text(details.get("kind"))
        self._causes = [_mapping(cause).get("reason") for cause in (causes if isinstance(causes, list) else ())]
        self.is_from_webhook = _is_denied_by_webhook(self.message)

    @property
    def is_not_found(self) -> bool:
        """Whether the object, or its namespace, does not exist."""
        return self.code == HTTPStatus.NOT_FOUND and not self.is_from_webhook

    @property
    def is_conflict(self) -> bool:
        """Whether the object has changed since the state that the request was made for."""
        return self.code == HTTPStatus.CONFLICT and not self.is_from_webhook

    @property
    def is_forbidden(self) -> bool:
        """Whether RBAC, or another authorizer, denied the request."""
        return self.code == HTTPStatus.FORBIDDEN and not self.is_from_webhook

    @property
    def namespace_is_terminating(self) -> bool:
        """Whether the namespace is being deleted or does not exist."""
        if self.is_from_webhook:
            return False
        return "NamespaceTerminating" in self._causes or (self.is_not_found and self._kind == "namespaces")


class Refusal(ErrorResponse):
    """The request was refused: by RBAC, admission, quota or validation, or because it no longer fits the object."""


class ProcessingFailure(ErrorResponse):
    """The request could not be processed: an admission webhook cannot be called, or the storage failed."""


def response_error(code: int, body: object) -> ApiServerUnavailable:
    """Return the error for a response with that HTTP status code whose JSON body is not the requested object."""
    status = _mapping(body)
    if not status:
        return ApiServerUnavailable(f"the API server responded {code} without a reason")
    if _is_denied_by_webhook(_message(status)):
        return Refusal(code, status)
    is_retryable = code in _RETRYABLE_CODES or _text(status.get("reason")) in _RETRYABLE_REASONS
    if not is_retryable and code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return Refusal(code, status)
    if not is_retryable and status.get("kind") == "Status":
        return ProcessingFailure(code, status)
    return ApiServerUnavailable(f"the API server responded {code}: {quote(_message(status))}")


def creation_error(response: ErrorResponse, data: Data) -> OperatorError:
    """Return the error for a creation of a Secret with that data."""
    if response.namespace_is_terminating:
        return NamespaceBeingDeleted(response.message)
    if response.is_conflict and response.reason == "AlreadyExists":
        return SecretExists(response.message)
    if response.is_conflict:  # two creations competed for one ResourceQuota; the next attempt gets a clear answer
        return ApiServerUnavailable(response.message)
    return denial(response, data)


def denial(response: ErrorResponse, *known: Data) -> SecretWriteDenied:
    """Return the error that quotes a response. No value of `known`, which is sent and stored data, appears in it."""
    quoted = quote(hide_secret_values(response.message, *known))
    happened = "failed to write" if isinstance(response, ProcessingFailure) else "denied the write of"
    return SecretWriteDenied(f"The API server {happened} the Secret; fix what it reports: {quoted}")


def _is_denied_by_webhook(message: str) -> bool:
    return _DENIED_BY_WEBHOOK.match(message) is not None


def _message(status: Mapping[str, Any]) -> str:
    return hide_field_values(_text(status.get("message")) or "no reason given")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
