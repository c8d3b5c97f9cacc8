"""Implements `ports.Pipedrive`: which address is asked what. Requests and answers have their own modules."""

from typing import Final, Self

from pipedrive_operator.adapters.pipedrive.api_domain import AllowedApiDomains
from pipedrive_operator.adapters.pipedrive.connection import Connections
from pipedrive_operator.adapters.pipedrive.identity import token_rejected
from pipedrive_operator.adapters.pipedrive.token_endpoint import Fence, TokenEndpoint
from pipedrive_operator.adapters.pipedrive.users_me import UsersMe
from pipedrive_operator.config.settings import PipedriveSettings
from pipedrive_operator.core.grant.grant import ClientCredentials, TokenResponse
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.ports import Clock

_USERS_ME: Final = "/v1/users/me"


def _open() -> None:
    """Let every request pass."""


class PipedriveApi:
    """Pipedrive, as the settings say where it is."""

    def __init__(self, settings: PipedriveSettings, clock: Clock) -> None:
        """Prepare connections; none is opened, and no certificate is read, before it is used."""
        connections = Connections(settings, clock)
        self._api_url = str(settings.api_url).rstrip("/")
        self._domains = AllowedApiDomains(settings.allowed_api_domains)
        self._users_me = UsersMe(settings, connections, clock)
        self._tokens = TokenEndpoint(settings, connections)

    async def identify_api_token(self, value: SecretValue) -> Account:
        """Return the account of an API token. Raises as `ports.Pipedrive` says."""
        return await self._users_me.identify(self._api_url + _USERS_ME, "x-api-token", value)

    async def identify_access_token(self, token: Token) -> Account:
        """Return the account of an access token; it is sent nowhere but to an allowed `api_domain`.

        One without a domain, as a person may have seeded it, is asked about where API tokens are.
        """
        base = self._api_url if token.api_domain is None else f"{self._allowed(token.api_domain)}/api"
        return await self._users_me.identify(base + _USERS_ME, "Authorization", token.value, scheme="Bearer ")

    async def refresh(
        self, client: ClientCredentials, refresh_token: SecretValue, *, fence: Fence = _open
    ) -> TokenResponse:
        """Spend a refresh token, once; `fence` is called just before the request leaves. Raises as `ports` says."""
        return await self._tokens.refresh(client, refresh_token, fence)

    async def reach(self) -> None:
        """Make sure that Pipedrive answers, without any token. Raises PipedriveUnavailable."""
        await self._users_me.probe(self._api_url + _USERS_ME)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._users_me.aclose()

    async def __aenter__(self) -> Self:
        """Enter; nothing is opened yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    def _allowed(self, api_domain: str) -> str:
        if not self._domains.allow(api_domain):
            # Refused rather than unavailable: the refresh that follows brings an api_domain of Pipedrive's own.
            raise token_rejected("its api_domain is not among pipedrive.allowedApiDomains, and it was not sent there")
        return api_domain
