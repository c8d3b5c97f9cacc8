"""The type of every secret value. It can be compared and digested, and must never get a way to print its value."""

import hashlib
import hmac
from typing import Final, NoReturn, final

HIDDEN: Final = "(hidden)"


@final
class SecretValue:
    """A token, password or key that stays out of logs, tracebacks, Events and pickles.

    Call `reveal()` only where the value is sent or stored.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Hide the value, without surrounding white space: editors add a newline at the end."""
        self._value = value.strip()

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    def digest(self) -> str:
        """Return the SHA-256 of the value in hexadecimal, which identifies the value without revealing it."""
        return hashlib.sha256(self._value.encode()).hexdigest()

    def __bool__(self) -> bool:
        """Return whether the value is not empty."""
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, SecretValue):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        """Hash by value, as equality does."""
        return hash(self._value)

    def __repr__(self) -> str:
        """Hide the value in format strings and dataclasses too."""
        return HIDDEN

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        message = "a secret value is not serialised"
        raise TypeError(message)
