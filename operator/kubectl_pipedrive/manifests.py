"""Writes the manifests that people start from, with comments. Pure; no secret value goes into a manifest."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kubectl_pipedrive.errors import UsageError
from pipedrive_operator.core.resource.names import GROUP, KIND, VERSION

_PLAIN: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.@=+/-]*[A-Za-z0-9_=])?")
"""What needs no quotes in YAML and none in a shell. The API server checks the rest."""
_RULE_OF_TEXTS: Final = (
    "cannot be used: it can have letters, digits and . _ @ = + / -, begins with a letter or digit, and ends with a "
    "letter, a digit, _ or ="
)
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_LONGEST_NAME: Final = 253
_RULE_OF_NAMES: Final = (
    "is not a name that Kubernetes accepts: use at most 253 lower-case letters, digits, - and ., and begin and end "
    "with a letter or digit"
)
_NOT_TEXT: Final = re.compile(r"(?i)true|false|yes|no|on|off|null|[0-9.e+_-]+|0x[0-9a-f]+|[0-9]{4}-[0-9]{2}-[0-9]{2}")
"""What YAML would read as something other than a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What a manifest says."""

    name: str
    namespace: str | None
    path: str
    """The path in Vault of the API token or of the grant."""
    app: str | None = None
    """An app of the operator's settings. None for a client of one's own in Vault."""
    client_path: str | None = None
    company: str | None = None
    secret: str | None = None


def checked(what: str, text: str) -> str:
    """Return a text that can stand in a manifest and in a shell as it is. Raises UsageError."""
    if not _PLAIN.fullmatch(text):
        message = f"{what} {text!r} {_RULE_OF_TEXTS}"
        raise UsageError(message)
    return text


def checked_name(what: str, text: str) -> str:
    """Return the name of a resource, which the API server would accept. Raises UsageError."""
    if len(text) > _LONGEST_NAME or not _NAME.fullmatch(text):
        message = f"{what} {text!r} {_RULE_OF_NAMES}"
        raise UsageError(message)
    return text


def api_token(outline: Outline) -> str:
    """Return the manifest of a credential that publishes an API token."""
    return _manifest(
        outline,
        ["  apiToken:", f"    path: {_scalar(outline.path)}  # where Vault keeps the token, in the key api_token"],
    )


def oauth2(outline: Outline) -> str:
    """Return the manifest of a credential that publishes an access token."""
    client = (
        f"app: {_scalar(outline.app)}  # an app of the operator's settings"
        if outline.app is not None
        else f"path: {_scalar(outline.client_path or '')}  # where Vault keeps client_id and client_secret"
    )
    return _manifest(
        outline,
        [
            "  oauth2:",
            "    client:",
            f"      {client}",
            "    grant:",
            f"      path: {_scalar(outline.path)}  # the refresh token; the operator writes there, too",
            "    # requiredScopes: [base, deals:full]  # Ready is False while the grant lacks one of these",
        ],
    )


def _manifest(outline: Outline, source: Sequence[str]) -> str:
    company = outline.company
    guard = (
        ["  account:", f"    companyDomain: {_scalar(company)}  # a token of another company is not published"]
        if company is not None
        else ["  # account:", "  #   companyDomain: acme  # recommended: do not publish a token of another company"]
    )
    lines = [
        f"apiVersion: {GROUP}/{VERSION}",
        f"kind: {KIND}",
        "metadata:",
        f"  name: {_scalar(outline.name)}",
        *([f"  namespace: {_scalar(outline.namespace)}"] if outline.namespace is not None else []),
        "spec:",
        *source,
        *guard,
        "  target:",
        f"    name: {_scalar(outline.secret or outline.name)}  # the Secret that your workload mounts",
    ]
    return "\n".join(lines) + "\n"


def _scalar(text: str) -> str:
    return f'"{text}"' if _NOT_TEXT.fullmatch(text) else text
