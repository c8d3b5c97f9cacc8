"""Checks that a path in Vault is one that a namespace may use. It accepts or rejects a path, and never corrects it."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

from pipedrive_operator.core.values.errors import InvalidSpec

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_.@=+-]+")
"""The characters of a segment: none that a server, a proxy or a policy could interpret differently."""


def confine(path: str, *, prefixes: Sequence[str], namespace: str, cluster: str = "") -> None:
    """Check that a path is plain and below one of the folders.

    In a prefix, `{namespace}` and `{cluster}` stand for the credential's namespace and the operator's cluster. A prefix
    is a folder with or without a slash at its end: `pipedrive/crm` does not reach `pipedrive/crm-2/acme`. The empty
    prefix allows everything; a prefix with an unknown name allows nothing.

    Raises:
        InvalidSpec: the path is not allowed; the message says which paths are.
    """
    require_plain(path)
    folders = [folder(prefix, namespace, cluster) for prefix in prefixes]
    if not any(path.startswith(one) for one in folders):
        allowed = f"it must start with {' or '.join(folders)}" if folders else "the connection lists no pathPrefixes"
        message = f"{path} is outside what namespace {namespace} may use: {allowed}"
        raise InvalidSpec(message)


def require_plain(path: str) -> None:
    """Check that every server and proxy interprets a path in the same way.

    Raises:
        InvalidSpec: the path is ambiguous.
    """
    if not all(_is_plain(segment) for segment in path.split("/")):
        message = (
            f"{path!r} is not a plain path: write segments of letters, digits and _.@=+- with single slashes between"
        )
        raise InvalidSpec(message)


def names_allow(patterns: Sequence[str], namespace: str) -> bool:
    """Return whether a namespace matches one of the names or patterns with `*`."""
    return any(fnmatchcase(namespace, pattern) for pattern in patterns)


def _is_plain(segment: str) -> bool:
    return bool(segment.strip(".")) and _SEGMENT.fullmatch(segment) is not None


def folder(prefix: str, namespace: str, cluster: str) -> str:
    """Substitute the names in a prefix; an empty name leaves an empty segment, which no plain path matches."""
    named = prefix.strip("/").replace("{cluster}", cluster).replace("{namespace}", namespace)
    return f"{named}/" if prefix.strip("/") else ""
