"""Which pods of a namespace use a Secret, and whether they see a new value. Pure.

Only references are read: an environment variable with a literal value is never looked into.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kubectl_pipedrive.credential import Json, map_at, text_at

RESTART = "new values only after a restart"
SUBPATH = "never sees a new value: the kubelet does not update a subPath"
_WAITING_FOR_SECRET = ("CreateContainerConfigError", "ContainerCreating")


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One way in which a pod uses the Secret."""

    pod: str
    how: str
    caveat: str | None = None
    """Why this use does not see a new value, or why the pod is not running; None if all is well."""

    def __str__(self) -> str:
        """Return it as a phrase."""
        return f"Pod {self.pod}: {self.how}" + (f" ({self.caveat})" if self.caveat else "")


def uses(pods: Sequence[Json], secret: str) -> list[Use]:
    """Return how the pods of a namespace use a Secret; finished pods are left out."""
    living = (pod for pod in pods if text_at(pod, "status", "phase") not in {"Succeeded", "Failed"})
    return [use for pod in living for use in _uses_of_pod(pod, secret)]


def _uses_of_pod(pod: Json, secret: str) -> Iterator[Use]:
    name, spec = text_at(pod, "metadata", "name"), map_at(pod, "spec")
    volumes = {text_at(one, "name") for one in _list(spec, "volumes") if _names_secret(one, secret)}
    unstarted = _why_unstarted(pod)
    for container in (*_list(spec, "containers"), *_list(spec, "initContainers")):
        for mount in _list(container, "volumeMounts"):
            if text_at(mount, "name") in volumes:
                caveat = unstarted or (SUBPATH if mount.get("subPath") or mount.get("subPathExpr") else None)
                yield Use(pod=name, how=f"mounted at {text_at(mount, 'mountPath')}", caveat=caveat)
        for variable in _variables(container, secret):
            yield Use(pod=name, how=variable, caveat=unstarted or RESTART)


def _names_secret(volume: Json, secret: str) -> bool:
    projected = _list(map_at(volume, "projected"), "sources")
    return text_at(volume, "secret", "secretName") == secret or any(
        text_at(source, "secret", "name") == secret for source in projected
    )


def _variables(container: Json, secret: str) -> Iterator[str]:
    for one in _list(container, "env"):
        if text_at(one, "valueFrom", "secretKeyRef", "name") == secret:
            yield f"environment variable {text_at(one, 'name')}"
    for one in _list(container, "envFrom"):
        if text_at(one, "secretRef", "name") == secret:
            yield "environment variables, all keys"


def _why_unstarted(pod: Json) -> str | None:
    status = map_at(pod, "status")
    for one in (*_list(status, "containerStatuses"), *_list(status, "initContainerStatuses")):
        waiting = map_at(one, "state", "waiting")
        if text_at(waiting, "reason") in _WAITING_FOR_SECRET:
            return f"not started: {text_at(waiting, 'message') or text_at(waiting, 'reason')}"
    return None


def _list(body: Json, key: str) -> list[Any]:
    found = body.get(key)
    return found if isinstance(found, list) else []
