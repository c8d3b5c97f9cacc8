"""The clients of the endpoint: one file for each client id, with the digest of its secret. No secret is stored.

A secret has 256 random bits, so a plain SHA-256 digest cannot be guessed back; a slow hash would only cost memory.
"""

import hashlib
import hmac
import re
import secrets
from pathlib import Path
from typing import Final

from pipedrive_operator.token_endpoint.permissions import unreadable

PREFIX: Final = "sha256:"
_CLIENT_ID: Final = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_DIGEST: Final = re.compile(rf"{PREFIX}[0-9a-f]{{64}}")
_NOBODY: Final = PREFIX + "0" * 64
"""Compared with when a client is unknown, so that an unknown client takes as long as a wrong secret."""


def new_secret() -> str:
    """Return a new client secret: 64 hexadecimal digits."""
    return secrets.token_hex(32)


def digest(secret: str) -> str:
    """Return what the client's file must contain: `sha256:` and the digest in hexadecimal."""
    return PREFIX + hashlib.sha256(secret.encode()).hexdigest()


def is_client_id(text: str) -> bool:
    """Return whether a text can be a client id: a Kubernetes name, which cannot leave the folder of the clients."""
    return _CLIENT_ID.fullmatch(text) is not None


class Clients:
    """The client digests in a folder, read again for each request."""

    def __init__(self, folder: Path) -> None:
        """Take the folder: the mount of a Secret whose keys are client ids."""
        self._folder = folder

    def accepts(self, client_id: str, secret: str) -> bool:
        """Return whether the secret is the client's; compared in constant time."""
        known = self._digest(client_id)
        matches = hmac.compare_digest(digest(secret), known or _NOBODY)
        return matches and known is not None

    def problems(self) -> list[str]:
        """Return what is wrong with the folder, as sentences."""
        if not self._folder.is_dir():
            return [f"{self._folder} is not a folder: mount the Secret with the clients there"]
        files = [file for file in sorted(self._folder.iterdir()) if file.is_file() and not file.name.startswith(".")]
        if not files:
            return [f"{self._folder} has no clients: add a key for each client id"]
        return unreadable(files) or [
            f"{file}: not a client digest; make one with `pipedrive-operator token-endpoint --new-client {file.name}`"
            for file in files
            if self._digest(file.name) is None
        ]

    def _digest(self, client_id: str) -> str | None:
        if not is_client_id(client_id):
            return None
        try:
            text = (self._folder / client_id).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
        return text if _DIGEST.fullmatch(text) else None
