"""A response of Pipedrive, read to its end, as a value. What it means is decided in the modules that read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

from pipedrive_operator.adapters.http.response import json_object


@dataclass(frozen=True, kw_only=True)
class PipedriveResponse:
    """Status, body and some of the headers. The body may hold tokens and is never printed."""

    status: int
    body: bytes = field(default=b"", repr=False)
    is_truncated: bool = False
    """Whether the body was longer than the operator reads; the part that was read may end anywhere."""
    is_cut_off: bool = False
    """Whether the connection broke before the end."""
    is_from_edge: bool = False
    """Whether Pipedrive's edge sent it, and no proxy on the way there."""
    redirect: str | None = None
    """The origin that a redirect names."""
    retry_after: timedelta | None = None

    @cached_property
    def fields(self) -> Mapping[str, object] | None:
        """The JSON object in the body; None if the body is anything else, such as an HTML page."""
        return json_object(self.body)

    @property
    def is_whole(self) -> bool:
        """Whether the body does not end anywhere."""
        return not (self.is_truncated or self.is_cut_off)

    @property
    def error_code(self) -> str | None:
        """The `error` of RFC 6749 section 5.2; None if there is none."""
        code = (self.fields or {}).get("error")
        return code if isinstance(code, str) and code else None
