"""The access tokens in mounted Secrets: one folder for each client id. Decides whether a token can be served.

The kubelet replaces all files of a mounted Secret at once by renaming the link `..data`, so the link is resolved
first: a token is never served with the expiry of another.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pipedrive_operator.token_endpoint.permissions import unreadable

LARGEST: Final = 64 * 1024
"""In bytes, of a file: a longer value is not a token."""
_ATTEMPTS: Final = 3
"""The kubelet may remove a resolved folder while it is being read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountedToken:
    """An access token as the operator published it."""

    access_token: str = field(repr=False)
    token_type: str
    expires_at: datetime
    api_domain: str | None = None
    scope: str | None = None

    def seconds_left(self, now: datetime) -> int:
        """Return for how many whole seconds the token can still be used; 0 or less when it has expired."""
        return int((self.expires_at - now).total_seconds())


class Tokens:
    """The tokens in a folder that has one mounted Secret for each client id."""

    def __init__(self, folder: Path) -> None:
        """Take the folder."""
        self._folder = folder

    def read(self, client_id: str) -> MountedToken | None:
        """Return the client's token; None where the Secret is not mounted or contains no valid token.

        The client id must be a checked one (`clients.is_client_id`): it is used as the name of a folder.
        """
        for _ in range(_ATTEMPTS):
            folder = self._current(client_id)
            values = {name: _text(folder / name) for name in _KEYS}
            if self._current(client_id) == folder:
                return _token(values)
        return None

    def problems(self, client_id: str) -> list[str]:
        """Return why the client's token cannot be served, as sentences."""
        folder = self._folder / client_id
        if not folder.is_dir():
            return [f"{folder} is not a folder: mount the credential's Secret there"]
        if self.read(client_id) is None:
            return unreadable(folder / name for name in _KEYS) or [
                f"{folder} needs the keys access_token and expires_at, as a credential with oauth2 publishes them"
            ]
        return []

    def _current(self, client_id: str) -> Path:
        mount = self._folder / client_id
        data = mount / "..data"
        return data.resolve() if data.exists() else mount


_KEYS: Final = ("access_token", "token_type", "expires_at", "api_domain", "scope")


def _token(values: dict[str, str | None]) -> MountedToken | None:
    access_token, expires_at = values["access_token"], _time(values["expires_at"])
    if not access_token or expires_at is None:
        return None
    return MountedToken(
        access_token=access_token,
        token_type=values["token_type"] or "Bearer",
        expires_at=expires_at,
        api_domain=values["api_domain"] or None,
        scope=" ".join((values["scope"] or "").replace(",", " ").split()) or None,
    )


def _text(file: Path) -> str | None:
    try:
        with file.open("rb") as stream:
            text = stream.read(LARGEST + 1).decode().strip()
    except (OSError, ValueError):
        return None
    return text if len(text) <= LARGEST and text.isprintable() else None


def _time(text: str | None) -> datetime | None:
    """Read RFC 3339, or seconds since the epoch as `$(expires_at|unix)` writes them."""
    try:
        if text and text.isascii() and text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        found = datetime.fromisoformat(text or "")
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError, OSError):
        return None
