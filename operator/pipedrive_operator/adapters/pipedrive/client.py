"""Implements `ports.Pipedrive`: which address receives which request. Requests and responses have their own modules."""

from datetime import timedelta
from typing import Final, Self

from pipedrive_operator.adapters.pipedrive.api_domain import SETTING, AllowedApiDomains
from pipedrive_operator.adapters.pipedrive.connection import Connections
from pipedrive_operator.adapters.pipedrive.token_endpoint import Fence, TokenEndpoint
from pipedrive_operator.adapters.pipedrive.verification_endpoint import VerificationEndpoint
from pipedrive_operator.config.settings import PipedriveSettings
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.grant import TokenResponse
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import PipedriveUnavailable, TokenRejected
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.ports import Clock

_USERS_ME: Final = "/v1/users/me"


async def _open() -> None:
    """Let every request pass."""


class PipedriveApi:
    """Pipedrive at the addresses of the settings."""

    def __init__(self, settings: PipedriveSettings, clock: Clock) -> None:
        """Use these settings; no connection is opened, and no certificate is read, before the first request."""
        connections = Connections(settings, clock)
        self._api_url = str(settings.api_url).rstrip("/")
        self._domains = AllowedApiDomains(settings.allowed_api_domains)
        self._verification = VerificationEndpoint(settings, connections, clock)
        self._tokens = TokenEndpoint(settings, connections)

    @property
    def call_timeout(self) -> timedelta:
        """How long a call of the token endpoint takes at most."""
        return self._tokens.timeout

    async def identify_api_token(self, value: SecretValue) -> Account:
        """Return the account of an API token. Raises as `ports.Pipedrive` says."""
        account = await self._verification.verify(self._api_url + _USERS_ME, "x-api-token", value)
        # Pipedrive names no api_domain with an API token; the one that is published follows from the company's domain.
        api_domain = f"https://{account.company_domain}.pipedrive.com"
        if self._domains.allowed(api_domain) is None:
            message = (
                f"The token belongs to the company at {api_domain}, which does not match {SETTING}; it is not "
                "published. Extend the setting, or write the token of another company to Vault"
            )
            raise PipedriveUnavailable(message)
        return account

    async def identify_access_token(self, token: Token) -> Account:
        """Return the account of an access token, which is sent to an allowed `api_domain` only.

        A token without a domain, as a person may write it to Vault, is sent to the address for API tokens. Raises as
        `ports.Pipedrive` says.
        """
        base = self._api_url if token.api_domain is None else f"{self._allowed(token.api_domain)}/api"
        return await self._verification.verify(base + _USERS_ME, "Authorization", token.value, scheme="Bearer ")

    async def refresh(
        self, client: ClientCredentials, refresh_token: SecretValue, *, fence: Fence = _open
    ) -> TokenResponse:
        """Send a refresh token, once; `fence` is awaited just before the request leaves. Raises as `ports` says."""
        return await self._tokens.refresh(client, refresh_token, fence)

    async def exchange(
        self, client: ClientCredentials, code: SecretValue, redirect_uri: str, *, fence: Fence = _open
    ) -> TokenResponse:
        """Send an authorization code, once; `fence` is called just before it leaves. Raises as `ports` says."""
        return await self._tokens.exchange(client, code, redirect_uri, fence)

    async def reach(self) -> None:
        """Make sure that Pipedrive responds, without any token. Raises PipedriveUnavailable."""
        await self._verification.probe(self._api_url + _USERS_ME)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._verification.aclose()

    async def __aenter__(self) -> Self:
        """Return itself; nothing is opened yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    def _allowed(self, api_domain: str) -> str:
        allowed = self._domains.allowed(api_domain)
        if allowed is None:
            # Rejected rather than unavailable: the refresh that follows brings an api_domain from Pipedrive itself.
            # It is not quoted: it comes from Vault, where a person may have put anything.
            message = (
                f"The access token was not sent: its api_domain in Vault does not match {SETTING}. The operator "
                "refreshes the token, which brings a current api_domain"
            )
            raise TokenRejected(message)
        return allowed
