"""An HTTP answer read whole, as a value. What it means is decided elsewhere."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """Status, body and `Retry-After`; the body may hold tokens and is never printed."""

    status: int
    body: bytes = field(repr=False)
    retry_after: timedelta | None = None

    @property
    def fields(self) -> Mapping[str, object] | None:
        """The JSON object in the body; None where the body is a page, or anything else."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    @property
    def error_code(self) -> str | None:
        """The `error` of RFC 6749 section 5.2; None where there is none."""
        code = (self.fields or {}).get("error")
        return code if isinstance(code, str) and code else None
