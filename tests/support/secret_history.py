"""Looks at a published Secret several times a second, as a workload would, and remembers each value with its expiry."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from support.tenant import Tenant

_LOOK_SECONDS: Final = 0.2


class SecretHistory:
    """What the Secret of a credential held during a `with` block."""

    def __init__(self, tenant: Tenant, credential: str) -> None:
        """Look at the Secret that has the credential's name."""
        self._tenant = tenant
        self._credential = credential
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name=f"history of {credential}", daemon=True)
        self.values: list[tuple[datetime, str]] = []
        """Each value that differed from the one before: when it expires, and the access token."""
        self.shortest_life = timedelta.max
        """The shortest time that was left to a value when it was read; below zero if one had expired."""
        self.looks = 0
        self.absences = 0
        """How often there was no Secret."""

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look once more, at what is there at the end."""
        self._ended.set()
        self._thread.join()
        self._look()

    @property
    def never_goes_back(self) -> bool:
        """Whether each value expires later than the one before."""
        expiries = [expires_at for expires_at, _ in self.values]
        return expiries == sorted(set(expiries))

    def _look_on(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        found = self._tenant.secret(self._credential)
        self.looks += 1
        if found is None:
            self.absences += 1
            return
        value = datetime.fromisoformat(found["expires_at"]), found["access_token"]
        self.shortest_life = min(self.shortest_life, value[0] - datetime.now(UTC))
        if self.values[-1:] != [value]:
            self.values.append(value)
