"""The link of a consent: its key, the state derived from the key, the digest of the state, and all URLs.

Only the standard library may be imported here, directly or through other modules, so that a command on a laptop can
use this module too. Randomness is a parameter. No request is sent, and nothing about a credential is decided.

A consent begins with a key of 32 random bytes, which the command that creates it draws. The link carries the key,
Pipedrive sees only the state, and the cluster stores only the digest of the state. So any process can verify an answer
with one read of the resource, and no process has to keep a session or a signing key.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import urlencode, urlsplit

from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.secret_value import SecretValue

KEY_BYTES: Final = 32
"""How many random bytes a key has."""
_LABEL: Final = "pipedrive-operator.io/consent/v1"
"""Separates this use of a key from any other, and this version of the derivation from the next one."""
_NAMESPACE: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME: Final = r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?"
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
"""32 bytes in base64url without padding: the last character has two bits that must be zero."""
_STATE: Final = re.compile(rf"({_NAMESPACE}):({_NAME}):[A-Za-z0-9_-]{{43}}")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Mode(StrEnum):
    """How Pipedrive's answer gets from the browser to the consent."""

    HOSTED = "hosted"
    """Through the operator's consent front."""
    LOOPBACK = "loopback"
    """Through a command that listens on the loopback address of the person's own machine."""
    PASTE = "paste"
    """Through the person, who copies the address of the redirect into a command."""


def key_from(random: bytes) -> SecretValue:
    """Return the key that consists of 32 random bytes. Raises ValueError for any other number of bytes."""
    if len(random) != KEY_BYTES:
        message = f"a consent's key has {KEY_BYTES} random bytes, not {len(random)}"
        raise ValueError(message)
    return SecretValue(_base64url(random))


def read_key(text: str) -> SecretValue | None:
    """Return the key that a link or a cookie carries, or None if the text cannot be one."""
    return SecretValue(text) if _KEY.fullmatch(text) else None


def state_of(key: SecretValue, consent: Key) -> SecretValue:
    """Return the `state` parameter for a consent: its namespace, its name, and an authentication code of both."""
    message = f"{_LABEL}:{consent}".encode()
    code = hmac.new(base64.urlsafe_b64decode(f"{key.reveal()}="), message, hashlib.sha256).digest()
    return SecretValue(f"{consent.namespace}:{consent.name}:{_base64url(code)}")


def digest_of(state: SecretValue) -> str:
    """Return `spec.stateDigest` for a state."""
    return f"sha256:{state.digest()}"


def proves(state: SecretValue, state_digest: str) -> bool:
    """Return whether a state belongs to a digest, compared in constant time."""
    return hmac.compare_digest(digest_of(state).encode(), state_digest.encode())


def read_state(text: str) -> tuple[Key, SecretValue] | None:
    """Return the consent that a `state` parameter names, and the state; None if the text cannot be one.

    The state is not verified: that takes the consent's digest.
    """
    match = _STATE.fullmatch(text)
    return (Key(namespace=match[1], name=match[2]), SecretValue(text)) if match else None


def callback_url(public_url: str) -> str:
    """Return the redirect URI of the consent front, which is also where Pipedrive reports an uninstall."""
    return f"{public_url.rstrip('/')}/callback"


def page_url(public_url: str, consent: Key) -> str:
    """Return the front's page of a consent, without the key."""
    return f"{public_url.rstrip('/')}/consent/{consent}"


def mode_of(redirect_uri: str, public_url: str | None) -> Mode:
    """Return how answers arrive for a client with this redirect URI; `public_url` is None without a front."""
    if public_url is not None and redirect_uri == callback_url(public_url):
        return Mode.HOSTED
    parts = urlsplit(redirect_uri)
    return Mode.LOOPBACK if parts.scheme == "http" and parts.hostname in _LOOPBACK else Mode.PASTE


def link(page: str, key: SecretValue) -> SecretValue:
    """Return the link to send to the person: the front's page of the consent, with the key."""
    return SecretValue(f"{page}?{urlencode({'key': key.reveal()})}")


def authorization_url(oauth_url: str, *, client_id: str, redirect_uri: str) -> str:
    """Return Pipedrive's authorization page for a client, without a state.

    An empty `scope` can be refused, and the scopes are those of the app, so none is sent.
    """
    return _with(f"{oauth_url.rstrip('/')}/oauth/authorize", {"client_id": client_id, "redirect_uri": redirect_uri})


def with_state(url: str, state: SecretValue) -> SecretValue:
    """Return the authorization page for one consent: the URL in the consent's status, with the state."""
    return SecretValue(_with(url, {"state": state.reveal()}))


def _with(url: str, parameters: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
