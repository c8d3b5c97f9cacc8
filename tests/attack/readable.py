"""Collects everything that can be read without being trusted: what the ClusterRole `view` shows, logs and metrics."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from attack.stage import Stage
from testbed.kubectl import KubectlError

QUICK: Final = ("pipedrivecredentials", "events.events.k8s.io", "configmaps")
"""Where the operator writes, or could."""


def readable(stage: Stage, *, everything: bool) -> dict[str, str]:
    """Return texts by their place; `everything` takes longer, and includes kinds that the operator does not write."""
    kinds = tuple(_kinds(stage)) if everything else QUICK
    texts = {kind: text for kind in kinds if (text := _list(stage, kind)) is not None}
    metrics = stage.operator.get("/metrics")
    return texts | {
        "the operator's log": stage.operator.log.read_text(errors="replace"),
        "/metrics": metrics.text if metrics is not None else "",
    }


def _kinds(stage: Stage) -> Iterator[str]:
    yield from stage.viewer("api-resources", "--verbs=list", "--output=name").split()


def _list(stage: Stage, kind: str) -> str | None:
    """Return all objects of a kind; None if the role does not show them, as it does not show Secrets."""
    with suppress(KubectlError):
        return stage.viewer("get", kind, "--all-namespaces", "--output=json", "--show-managed-fields")
    return None
