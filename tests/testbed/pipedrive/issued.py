"""Issued codes, grants and tokens as plain records. `grants` has their life cycle."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class AuthorizationCode:
    """A consent that has not been exchanged for tokens yet."""

    value: str
    client_id: str
    company_id: int
    user_id: int
    expires_at: float


@dataclass(kw_only=True)
class Grant:
    """One consent of one user for one app; `scopes` are those at the time of the consent."""

    id: str
    client_id: str
    company_id: int
    user_id: int
    scopes: tuple[str, ...]
    is_revoked: bool = False
    generation: int = 0


@dataclass(kw_only=True)
class RefreshToken:
    """A refresh token: its number within the grant, when it was last used, and when a successor replaced it."""

    value: str
    grant: Grant
    generation: int
    used_at: float
    replaced_at: float | None = None


@dataclass(kw_only=True)
class AccessToken:
    """An access token and the scopes it carries."""

    value: str
    grant: Grant
    expires_at: float
    scopes: tuple[str, ...]
    is_revoked: bool = False


@dataclass(frozen=True, kw_only=True)
class TokenPair:
    """The tokens that one exchange or refresh issues."""

    access: AccessToken
    refresh: RefreshToken
    expires_in: int
