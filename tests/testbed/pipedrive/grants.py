"""The life cycle of codes, grants and tokens. Time and rules are passed in as values; no HTTP here.

A grant is one consent: every token that descends from its authorization code belongs to it.
"""

from dataclasses import dataclass, field
from itertools import count

from testbed.pipedrive import tokens
from testbed.pipedrive.issued import AccessToken, AuthorizationCode, Grant, RefreshToken, TokenPair
from testbed.pipedrive.refusals import Refusal, RefusedError
from testbed.pipedrive.switches import Rotation, Switches
from testbed.pipedrive.world import App, World, with_base


@dataclass
class Grants:
    """All codes, grants and tokens of one world, under one set of rules."""

    world: World
    switches: Switches
    codes: dict[str, AuthorizationCode] = field(default_factory=dict)
    by_id: dict[str, Grant] = field(default_factory=dict)
    refresh_tokens: dict[str, RefreshToken] = field(default_factory=dict)
    access_tokens: dict[str, AccessToken] = field(default_factory=dict)
    _ids: "count[int]" = field(default_factory=lambda: count(1), repr=False)
    _live_access: dict[str, list[AccessToken]] = field(default_factory=dict, repr=False)

    def consent(self, client_id: str, company_id: int, user_id: int, *, now: float) -> AuthorizationCode:
        """Let a user accept an app. Raises KeyError for an unknown app or user."""
        app, user = self.world.apps[client_id], self.world.users[company_id, user_id]
        code = AuthorizationCode(
            value=tokens.authorization_code(company_id, user_id),
            client_id=app.client_id,
            company_id=user.company_id,
            user_id=user.id,
            expires_at=now + self.switches.code_lifetime,
        )
        self.codes[code.value] = code
        return code

    def exchange(self, value: str, app: App, *, now: float, scopes: tuple[str, ...] | None = None) -> TokenPair:
        """Exchange a code, once, for the first tokens of a new grant. Raises RefusedError."""
        code = self.codes.get(value)
        if code is None or code.client_id != app.client_id:
            raise RefusedError(Refusal.CODE_INVALID)
        del self.codes[value]
        if now >= code.expires_at:
            raise RefusedError(Refusal.CODE_EXPIRED)
        if self.switches.second_consent_kills_first:
            self.uninstall(code.client_id, code.company_id, code.user_id)
        grant = Grant(
            id=f"grant-{next(self._ids)}",
            client_id=code.client_id,
            company_id=code.company_id,
            user_id=code.user_id,
            scopes=app.scopes if scopes is None else with_base(scopes),
        )
        self.by_id[grant.id] = grant
        return self._pair(grant, self._new_refresh_token(grant, now=now), now=now)

    def refresh(self, value: str, app: App, *, now: float) -> TokenPair:
        """Refresh under the current rules. Raises RefusedError."""
        token = self.refresh_tokens.get(value)
        if token is None or token.grant.client_id != app.client_id:
            raise RefusedError(Refusal.REFRESH_TOKEN_INVALID)
        if not self.accepts(token, now=now):
            if token.replaced_at is not None and self.switches.replay_kills_grant:
                self.revoke_grant(token.grant)
            raise RefusedError(Refusal.REFRESH_TOKEN_INVALID)
        token.used_at = now
        if not self.switches.old_access_survives:
            self.revoke_access(token.grant)
        successor = token if self.switches.rotate is Rotation.NEVER else self._replace(token, now=now)
        return self._pair(token.grant, successor, now=now)

    def accepts(self, token: RefreshToken, *, now: float) -> bool:
        """Return whether this refresh token would be accepted now."""
        if token.grant.is_revoked or now >= token.used_at + self.switches.refresh_idle_lifetime:
            return False
        return token.replaced_at is None or self._in_grace(token, now)

    def honours(self, token: AccessToken, *, now: float) -> bool:
        """Return whether the API accepts this access token now."""
        user = self.world.users.get((token.grant.company_id, token.grant.user_id))
        is_alive = not token.is_revoked and not token.grant.is_revoked and now < token.expires_at
        return is_alive and user is not None and user.is_active

    def revoke(self, value: str, app: App) -> Grant | None:
        """Revoke a token of this app; revoking a refresh token uninstalls the app for that user."""
        issued = self.refresh_tokens.get(value) or self.access_tokens.get(value)
        if issued is None or issued.grant.client_id != app.client_id:
            return None
        if isinstance(issued, AccessToken):
            issued.is_revoked = True
        else:
            self.uninstall(app.client_id, issued.grant.company_id, issued.grant.user_id)
        return issued.grant

    def uninstall(self, client_id: str, company_id: int, user_id: int) -> None:
        """Remove all OAuth data of one user's install of one app."""
        for grant in self.by_id.values():
            if (grant.client_id, grant.company_id, grant.user_id) == (client_id, company_id, user_id):
                self.revoke_grant(grant)

    def revoke_grant(self, grant: Grant) -> None:
        """Revoke every token of a grant permanently."""
        grant.is_revoked = True
        self._live_access.pop(grant.id, None)

    def revoke_access(self, grant: Grant) -> None:
        """Revoke the access tokens of a grant; its refresh token stays valid."""
        for token in self._live_access.pop(grant.id, []):
            token.is_revoked = True

    def change_scopes(self, app: App, scopes: tuple[str, ...]) -> None:
        """Change the scopes of an app; existing grants keep the scopes that were consented to and still exist."""
        added = set(scopes) - set(app.scopes)
        app.scopes = with_base(scopes)
        for grant in self.by_id.values():
            if grant.client_id == app.client_id and added and self.switches.added_scope_kills_access:
                self.revoke_access(grant)

    def delete_app(self, client_id: str) -> None:
        """Delete an app from Developer Hub, which uninstalls it for everyone. Raises KeyError if unknown."""
        del self.world.apps[client_id]
        for grant in self.by_id.values():
            if grant.client_id == client_id:
                self.revoke_grant(grant)

    def _in_grace(self, token: RefreshToken, now: float) -> bool:
        if self.switches.rotate is not Rotation.GRACE or token.replaced_at is None:
            return False
        return now < token.replaced_at + self.switches.grace_seconds

    def _replace(self, token: RefreshToken, *, now: float) -> RefreshToken:
        if token.replaced_at is None:
            token.replaced_at = now
        return self._new_refresh_token(token.grant, now=now)

    def _new_refresh_token(self, grant: Grant, *, now: float) -> RefreshToken:
        grant.generation += 1
        value = tokens.refresh_token(grant.company_id, grant.user_id)
        token = RefreshToken(value=value, grant=grant, generation=grant.generation, used_at=now)
        self.refresh_tokens[value] = token
        return token

    def _pair(self, grant: Grant, refresh: RefreshToken, *, now: float) -> TokenPair:
        app = self.world.apps[grant.client_id]
        access = AccessToken(
            value=tokens.access_token(),
            grant=grant,
            expires_at=now + self.switches.expires_in,
            scopes=tuple(scope for scope in grant.scopes if scope in app.scopes),
        )
        self.access_tokens[access.value] = access
        live = [token for token in self._live_access.get(grant.id, ()) if now < token.expires_at]
        self._live_access[grant.id] = [*live, access]
        return TokenPair(access=access, refresh=refresh, expires_in=self.switches.expires_in)
