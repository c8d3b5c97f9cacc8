"""The rules of Pipedrive that a test can change; each defaults to the documented behaviour.

Faults, which affect single requests, belong in `faults`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal


class Rotation(StrEnum):
    """What happens to a refresh token when it is used."""

    NEVER = "never"
    """The same token is returned and its idle time reset, as Pipedrive documents."""
    ALWAYS = "always"
    """A new token is returned and the old one is revoked at once."""
    GRACE = "grace"
    """A new token is returned and the old one stays valid for `grace_seconds`."""


@dataclass(kw_only=True)
class Switches:
    """Rules that apply from the next request on; times are in seconds."""

    # Makes pydantic reject misspelt switches in the control API; this module does not import it.
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    rotate: Rotation = Rotation.NEVER
    grace_seconds: float = 30
    replay_kills_grant: bool = False
    """Using a replaced refresh token revokes the whole grant, as RFC 9700 section 4.14.2 advises."""
    old_access_survives: bool = True
    """Whether earlier access tokens stay valid after a refresh."""
    added_scope_kills_access: bool = True
    """Whether access tokens become invalid when their app gains a scope; Pipedrive's pages contradict each other."""
    second_consent_kills_first: bool = False
    """Whether a new consent by the same user for the same app revokes the earlier grant."""
    expires_in: int = 3599
    refresh_idle_lifetime: float = 60 * 24 * 3600
    code_lifetime: float = 300
    bad_client_status: Literal[400, 401] = 400
    denial: str = "user_denied"
    """The `error` of a refused consent; the SDK's README says `access_denied`."""
    empty_scope_refused: bool = False
    """Whether the authorize page rejects `scope=` with status 400, as one report says; n8n always sends it."""
    company_page: str | None = None
    """Origin to which the authorize page redirects the browser, as Pipedrive's does to a company's own domain."""
    api_token_in_query: bool = True
    """Whether the deprecated `?api_token=` still works."""
    api_domain: str | None = None
    """Pattern of `api_domain` with `{company_domain}` in it; None means the simulator's own URL."""
