"""The implementation of `ports.Credentials`: writes statuses and Events. What to report is decided elsewhere."""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.endpoints import CREDENTIALS, EVENTS
from pipedrive_operator.adapters.kubernetes.refusal import ErrorResponse
from pipedrive_operator.core.resource.credential import AnyCredential, read_credential
from pipedrive_operator.core.resource.names import GROUP, KIND, VERSION, Key
from pipedrive_operator.core.values.errors import ReportDenied
from pipedrive_operator.core.values.mask import reportable
from pipedrive_operator.ports import Clock, Event

CONTROLLER: Final = f"{GROUP}/operator"
ACTION: Final = "Reconcile"
"""The API requires an action, and the operator has only this one."""
LONGEST_NOTE: Final = 1024
"""In bytes, the limit of events.k8s.io/v1."""
QUIET: Final = timedelta(minutes=10)
"""How long an identical Event about the same credential is not recorded again."""
MOST_KNOWN: Final = 10_000
"""How many Events of that time are known, by digests: a tenant decides how many differ, and a message may be long."""


_log: Final = structlog.stdlib.get_logger(__name__)


class KubernetesCredentials:
    """Implements `ports.Credentials`."""

    def __init__(self, api: Api, clock: Clock, *, instance: str) -> None:
        """Use `api`; `instance` names this process in Events, for example by its pod."""
        self._api = api
        self._clock = clock
        self._instance = instance
        self._recorded: dict[bytes, float] = {}
        """When the Event with each digest was recorded, the oldest first."""

    async def patch_status(self, key: Key, status: Mapping[str, Any]) -> AnyCredential | None:
        """Merge-patch the status and return the patched credential, or None if it does not exist."""
        try:
            body = await self._api.merge_patch(CREDENTIALS.at(key, subresource="status"), {"status": status})
        except ErrorResponse as response:
            if response.is_not_found:
                return None
            raise _denied(key, "the status was not written", response) from response
        return read_credential(body)

    async def record_event(self, credential: AnyCredential, event: Event) -> None:
        """Record an Event, unless an identical one was recorded recently or the namespace is being deleted."""
        fingerprint = hashlib.sha256(f"{credential.uid} {event.reason} {event.message}".encode()).digest()
        if self._was_recorded(fingerprint):
            return
        manifest = _manifest(credential, event, at=self._clock.now(), instance=self._instance)
        try:
            await self._api.create(EVENTS.collection(credential.key.namespace), manifest)
        except ErrorResponse as response:
            if not response.namespace_is_terminating:
                raise _denied(credential.key, f"the Event {event.reason} was not recorded", response) from response
        self._recorded.pop(fingerprint, None)
        self._recorded[fingerprint] = self._clock.monotonic()

    def _was_recorded(self, fingerprint: bytes) -> bool:
        """Return whether an Event was recorded recently, and forget the older ones."""
        since = self._clock.monotonic() - QUIET.total_seconds()
        while self._recorded:
            oldest = next(iter(self._recorded))
            if self._recorded[oldest] > since and len(self._recorded) <= MOST_KNOWN:
                break
            del self._recorded[oldest]
        return fingerprint in self._recorded


def _denied(key: Key, happened: str, response: ErrorResponse) -> ReportDenied:
    """Log that a credential could not be reported on, since its status cannot say it; requests are counted by code."""
    _log.warning("The API server denied a report on a credential", credential=str(key), error=f"{happened}: {response}")
    return ReportDenied(f"{happened}: {response}")


def _manifest(credential: AnyCredential, event: Event, *, at: datetime, instance: str) -> dict[str, Any]:
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": f"{credential.key.name}-", "namespace": credential.key.namespace},
        "eventTime": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}",
        "type": "Warning" if event.warning else "Normal",
        "reason": event.reason,
        "action": ACTION,
        "note": reportable(event.message).encode()[:LONGEST_NOTE].decode(errors="ignore"),
        "regarding": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "namespace": credential.key.namespace,
            "name": credential.key.name,
            "uid": credential.uid,
            "resourceVersion": credential.resource_version,
        },
        "reportingController": CONTROLLER,
        "reportingInstance": instance,
    }
