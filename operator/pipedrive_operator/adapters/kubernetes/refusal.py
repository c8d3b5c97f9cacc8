"""What an error response of the API server means: the only place that turns its Status into an error of ours."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pipedrive_operator.adapters.kubernetes.quotation import Data, hide_field_values, hide_secret_values, shorten
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    NamespaceBeingDeleted,
    OperatorError,
    SecretExists,
    SecretWriteDenied,
)


class Refusal(ApiServerUnavailable):
    """The API server refused the request, and said why in a Status (`meta/v1`).

    It is an ApiServerUnavailable, so a caller without a more precise meaning for it need not know it.
    """

    def __init__(self, status: Mapping[str, Any]) -> None:
        """Read a Status."""
        self.message = hide_field_values(str(status.get("message") or "no reason given"))
        super().__init__(f"the API server refused the request: {shorten(self.message)}")
        self.code = int(status.get("code") or 0)
        self.reason = str(status.get("reason") or "")
        details = status.get("details") or {}
        self.kind = str(details.get("kind") or "")
        self.causes = frozenset(cause.get("reason") for cause in details.get("causes") or ())

    @property
    def is_not_found(self) -> bool:
        """Whether the object, or its namespace, does not exist."""
        return self.code == HTTPStatus.NOT_FOUND

    @property
    def is_conflict(self) -> bool:
        """Whether the object has changed since the state that the request was made for."""
        return self.code == HTTPStatus.CONFLICT

    @property
    def namespace_is_terminating(self) -> bool:
        """Whether the namespace is being deleted or does not exist."""
        return "NamespaceTerminating" in self.causes or (self.is_not_found and self.kind == "namespaces")


def creation_error(refusal: Refusal, data: Data) -> OperatorError:
    """Return the error for a refused creation of a Secret with that data."""
    if refusal.namespace_is_terminating:
        return NamespaceBeingDeleted(refusal.message)
    if refusal.reason == "AlreadyExists":
        return SecretExists(refusal.message)
    if refusal.is_conflict:  # two creations competed for one ResourceQuota; the next attempt gets a clear answer
        return ApiServerUnavailable(refusal.message)
    return denial(refusal, data)


def denial(refusal: Refusal, *known: Data) -> SecretWriteDenied:
    """Return the error that quotes a refusal. No value of `known`, which is sent and stored data, appears in it."""
    quoted = shorten(hide_secret_values(refusal.message, *known))
    return SecretWriteDenied(f"The API server denied the write of the Secret; fix what it reports: {quoted}")
