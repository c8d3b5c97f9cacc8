"""Collects everything that can be read without being trusted: what the ClusterRole `view` shows, logs and metrics."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from attack.attack_environment import AttackEnvironment
from testbed.kubectl import KubectlError

QUICK: Final = ("pipedrivecredentials", "events.events.k8s.io", "configmaps")
"""Where the operator writes, or could."""


def readable(environment: AttackEnvironment, *, everything: bool) -> dict[str, str]:
    """Return texts by their place; `everything` takes longer, and includes kinds that the operator does not write."""
    kinds = tuple(_kinds(environment)) if everything else QUICK
    texts = {kind: text for kind in kinds if (text := _list(environment, kind)) is not None}
    metrics = environment.operator.get("/metrics")
    return texts | {
        "the operator's log": environment.operator.log.read_text(errors="replace"),
        "/metrics": metrics.text if metrics is not None else "",
    }


def _kinds(environment: AttackEnvironment) -> Iterator[str]:
    yield from environment.viewer("api-resources", "--verbs=list", "--output=name").split()


def _list(environment: AttackEnvironment, kind: str) -> str | None:
    """Return all objects of a kind; None if the role does not show them, as it does not show Secrets."""
    with suppress(KubectlError):
        return environment.viewer("get", kind, "--all-namespaces", "--output=json", "--show-managed-fields")
    return None
