"""The rules of the vendor that a test may choose, each with the documented behaviour as its default.

Faults, which break single requests, are not rules; they are in `faults`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal


class Rotation(StrEnum):
    """What a refresh does to the refresh token that was presented."""

    NEVER = "never"
    """The same token comes back, its idle time reset: what the vendor documents."""
    ALWAYS = "always"
    """A new token comes back and the old one dies at once."""
    GRACE = "grace"
    """A new token comes back and the old one is accepted for `grace_seconds` more."""


@dataclass(kw_only=True)
class Switches:
    """Rules in force from the next request on; times are in seconds."""

    # The control API refuses a misspelt switch; read by pydantic, which this module need not know.
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    rotate: Rotation = Rotation.NEVER
    grace_seconds: float = 30
    replay_kills_grant: bool = False
    """Presenting an exchanged refresh token revokes the whole grant, as RFC 9700 section 4.14.2 advises."""
    old_access_survives: bool = True
    """Whether earlier access tokens live on after a refresh."""
    added_scope_kills_access: bool = True
    """Whether access tokens die when their app gains a scope; the vendor's pages contradict each other."""
    second_consent_kills_first: bool = False
    """Whether a new consent by the same user for the same app revokes the earlier grant."""
    expires_in: int = 3599
    refresh_idle_lifetime: float = 60 * 24 * 3600
    code_lifetime: float = 300
    bad_client_status: Literal[400, 401] = 400
    denial: str = "user_denied"
    """The `error` of a refused consent; the SDK's README says `access_denied`."""
    empty_scope_refused: bool = True
    """Whether `scope=` at the authorize page is a 400."""
    api_token_in_query: bool = True
    """Whether the old `?api_token=` still works."""
    api_domain: str | None = None
    """Pattern of `api_domain` with `{company_domain}` in it; None stands for the simulator's own URL."""
