"""Reads the examples of credentials that the API server refuses or accepts. It checks nothing itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipedrive_operator.core.resource.names import GROUP, KIND, VERSION

Manifest = dict[str, Any]

_TABLE: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())


@dataclass(frozen=True, kw_only=True)
class Example:
    """One manifest; `before` is the stored one, if any. If it is refused, `message` is the reason, about `field`."""

    manifest: Manifest
    before: Manifest | None
    accepted: bool
    field: str
    message: str
    read_by_operator: bool
    """Whether the operator's own reading agrees with the API server."""

    def label(self) -> str:
        """Return the name of the example in a test report."""
        return f"{self.field}: {self.message[:40]}"


def creations(*, accepted: bool) -> list[Example]:
    """Return the examples of creations."""
    return list(_examples("creations", accepted=accepted))


def updates(*, accepted: bool) -> list[Example]:
    """Return the examples of updates."""
    return list(_examples("updates", accepted=accepted))


def valid(kind: str = "apiToken") -> Manifest:
    """Return the manifest that the examples change."""
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, **_TABLE["valid"][kind]}


def messages() -> set[str]:
    """Return every message that an example expects."""
    return {row["message"] for part in ("creations", "updates") for row in _TABLE[part]}


def _examples(part: str, *, accepted: bool) -> Iterator[Example]:
    for row in _TABLE[part]:
        base = valid(row.get("kind", "apiToken"))
        for patch in row.get("accepted" if accepted else "refused", ()):
            yield Example(
                manifest=_patched(base, patch.get("to", patch)),
                before=_patched(base, patch["from"]) if "from" in patch else None,
                accepted=accepted,
                field=row["field"],
                message=row["message"],
                read_by_operator=accepted or row.get("by") != "api server",
            )


def _patched(value: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    target = value if isinstance(value, dict) else {}
    changed = {key: _patched(target.get(key), inner) for key, inner in patch.items() if inner is not None}
    return {key: inner for key, inner in target.items() if key not in patch} | changed
