"""What has been handed out: codes, grants and tokens as plain records. Their life is in `grants`."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class AuthorizationCode:
    """A consent given but not yet exchanged."""

    value: str
    client_id: str
    company_id: int
    user_id: int
    expires_at: float


@dataclass(kw_only=True)
class Grant:
    """One consent of one user for one app; `scopes` are those of the day of the consent."""

    id: str
    client_id: str
    company_id: int
    user_id: int
    scopes: tuple[str, ...]
    is_revoked: bool = False
    generation: int = 0


@dataclass(kw_only=True)
class RefreshToken:
    """A refresh token: the how-manieth of its grant, when last used, when replaced by a successor."""

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
    """What an exchange gives out."""

    access: AccessToken
    refresh: RefreshToken
    expires_in: int
