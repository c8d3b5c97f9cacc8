"""What all sections of the settings share: strict parsing, durations with bounds, and references to Secrets.

Only the form is defined here; the sections themselves are in `settings.py` and `vault.py`.
"""

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from pipedrive_operator.core.resource.shapes import DataKey, Duration, ObjectName
from pipedrive_operator.core.values.times import format_duration


class Section(BaseModel):
    """A section of the settings: immutable, in camelCase, and without unknown names."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class SecretReference(Section):
    """One key of a Secret in the operator's own namespace."""

    name: Annotated[ObjectName, Field(description="Name of the Secret, in the operator's namespace.")]
    key: Annotated[DataKey, Field(description="Key within the Secret.")]


def _require_possible(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("must be the path of a file, without the character U+0000")
    return path


File = Annotated[Path, AfterValidator(_require_possible)]


def _require_positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than 0s")
    return value


def at_least(shortest: timedelta) -> AfterValidator:
    """Refuse a shorter duration."""

    def check(value: timedelta) -> timedelta:
        if value < shortest:
            message = f"must be at least {format_duration(shortest)}"
            raise ValueError(message)
        return value

    return AfterValidator(check)


def at_most(longest: timedelta) -> AfterValidator:
    """Refuse a longer duration."""

    def check(value: timedelta) -> timedelta:
        if value > longest:
            message = f"must be at most {format_duration(longest)}"
            raise ValueError(message)
        return value

    return AfterValidator(check)


PositiveDuration = Annotated[Duration, AfterValidator(_require_positive)]


INSECURE: Final = (
    "is plain HTTP to another machine, so that anyone on the network path can read the tokens: use https://, or, in "
    "a test, set {setting} to true"
)
"""The message about such an address; `setting` is the one that accepts it."""


def is_plain(address: str) -> bool:
    """Return whether an address, or a pattern of addresses, is plain HTTP to anything but this machine."""
    scheme, separator, rest = address.partition("://")
    return bool(separator) and scheme.lower() != "https" and not _is_loopback(rest)


def _is_loopback(rest: str) -> bool:
    """Return whether what follows the scheme names this machine (RFC 6761 section 6.3, RFC 1122 section 3.2.1.3)."""
    try:
        host = urlsplit(f"//{rest.replace(':*', '')}").hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
