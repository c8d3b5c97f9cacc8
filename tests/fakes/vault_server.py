"""A Vault for unit tests of sessions: it issues numbered tokens, and responds as the test asks."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from pipedrive_operator.adapters.vault.auth.login import IssuedToken
from pipedrive_operator.adapters.vault.auth.session import Session
from pipedrive_operator.adapters.vault.request_and_response import VaultRequest, VaultResponse
from pipedrive_operator.core.values.errors import SourceMissing, VaultDenied, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue

TTL = timedelta(hours=1)
READ = VaultRequest(operation="read", method="GET", path="/v1/secret/data/a")
OK = VaultResponse(status=200, body={})
DENIED = VaultResponse(status=403, body={"errors": ["permission denied"]})
REFUSED = VaultResponse(status=400, body={"errors": ["lease is not renewable"]})


def renewed(ttl: timedelta) -> VaultResponse:
    """Return the response to a renewal."""
    auth = {"client_token": "renewed", "lease_duration": ttl.total_seconds(), "renewable": True}
    return VaultResponse(status=200, body={"auth": auth})


@dataclass
class FakeVaultServer:
    """A Vault that issues numbered tokens, and responds to renewals as the test asks."""

    ttl: timedelta | None = TTL
    renewable: bool = True
    renewal: VaultResponse = field(default_factory=lambda: renewed(TTL))
    breaks: VaultDenied | SourceMissing | VaultUnavailable | None = None
    logins: int = 0
    renewals: int = 0
    ours: bool = True
    policies: frozenset[str] = frozenset({"default"})
    is_valid: bool = False
    """Whether a lookup still finds the session's token."""
    reads: list[VaultResponse] = field(default_factory=list)
    """The responses to the next reads; then all succeed."""
    tokens: list[str] = field(default_factory=list)
    """The tokens of the reads."""
    revoked: list[str] = field(default_factory=list)

    async def log_in(self) -> IssuedToken:
        """Issue a token."""
        self.logins += 1
        await asyncio.sleep(0)
        if self.breaks is not None:
            raise self.breaks
        return IssuedToken(
            value=SecretValue(f"token-{self.logins}"),
            ttl=self.ttl,
            renewable=self.renewable,
            policies=self.policies,
            ours=self.ours,
        )

    async def send(self, request: VaultRequest) -> VaultResponse:
        """Renew or revoke a token."""
        if request.path == "/v1/auth/token/revoke-self":
            self.revoked.append(request.token.reveal() if request.token else "none")
            return VaultResponse(status=204)
        if request.path == "/v1/auth/token/lookup-self":
            return VaultResponse(status=200 if self.is_valid else 403, body={})
        if request.path == READ.path:
            self.tokens.append(request.token.reveal() if request.token else "none")
            return self.reads.pop(0) if self.reads else OK
        assert request.path == "/v1/auth/token/renew-self"
        self.renewals += 1
        await asyncio.sleep(0)
        return self.renewal


async def tokens(session: Session, count: int) -> set[str]:
    """Return the distinct tokens of many concurrent callers."""
    return revealed(await asyncio.gather(*(session.token() for _ in range(count))))


def revealed(values: Iterable[SecretValue | None]) -> set[str]:
    """Return the texts of tokens."""
    return {value.reveal() if value is not None else "none" for value in values}
