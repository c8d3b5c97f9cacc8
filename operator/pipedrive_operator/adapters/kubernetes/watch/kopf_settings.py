"""kopf's settings: its time-outs, what it must not write, and which Secrets the API server sends."""

from typing import Final

import kopf

from pipedrive_operator.adapters.kubernetes.watch.request_monitor import STREAM_SECONDS
from pipedrive_operator.core.resource.names import LABEL_CREDENTIAL

REQUEST_SECONDS: Final = 10.0
"""How long a request other than a watch may take."""


class _NoDiffBase(kopf.DiffBaseStorage):
    """Saves kopf a deep copy of each object: our handlers do not use diffs."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        """Store nothing."""


class _NoProgress(kopf.ProgressStorage):
    """Saves kopf a search of each object for the progress of handlers: ours have none."""

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        """Store nothing."""

    def purge(self, **_: object) -> None:
        """Nothing was stored."""

    def touch(self, **_: object) -> None:
        """Touch nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


def kopf_settings() -> kopf.OperatorSettings:
    """Return the settings of one run."""
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    settings.process.ultimate_exiting_timeout = None
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = 2 * REQUEST_SECONDS
    settings.networking.connect_timeout = REQUEST_SECONDS
    settings.networking.enforce_retry_after = True
    settings.queueing.idle_timeout = 0.2
    watching = settings.watching
    # kopf may lose a watch permanently if this time-out expires while an event is delivered
    # (https://github.com/nolar/kopf/issues/1276); the client's own time-out below serves the same purpose.
    watching.inactivity_timeout = 1e9
    watching.server_timeout = STREAM_SECONDS
    watching.client_timeout = STREAM_SECONDS + 30
    watching.connect_timeout = REQUEST_SECONDS
    watching.reconnect_backoff = 1.0
    # The API server filters by this selector. A handler's own `labels` would filter only after every Secret was sent.
    watching.label_selectors["", "v1", "secrets"] = LABEL_CREDENTIAL
    return settings
