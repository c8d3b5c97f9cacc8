"""The type of every secret value. It compares and digests, and must never grow a way to print what it holds."""

import hashlib
import hmac
from typing import Final, NoReturn, final

HIDDEN: Final = "(hidden)"


@final
class SecretValue:
    """A token, password or key that stays out of logs, tracebacks, events and pickles.

    Unwrap it with `reveal()`, and only in the call that sends or stores it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Hide the value, without the white space around it: a trailing newline is what editors add."""
        self._value = value.strip()

    def reveal(self) -> str:
        """Return the value itself."""
        return self._value

    def digest(self) -> str:
        """Return the SHA-256 of the value in hexadecimal, which identifies it without telling it."""
        return hashlib.sha256(self._value.encode()).hexdigest()

    def __bool__(self) -> bool:
        """Tell whether there is anything to hide."""
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
        """Hide the value, also in format strings and dataclasses."""
        return HIDDEN

    def __reduce__(self) -> NoReturn:
        """Refuse to be copied into a pickle."""
        message = "a secret value is not serialised"
        raise TypeError(message)
