"""Models of Vault and Pipedrive. `contracts` keeps them honest: the same suite runs on them and on the real parts."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pipedrive_operator.core.grant.document import OPERATOR, Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.grant import ClientCredentials, TokenResponse
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    CheckAndSetConflict,
    ClientRejected,
    ConsentRequired,
    OperatorError,
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    TokenRejected,
    VaultDenied,
    VaultUnavailable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from simulation.history import History, who
from simulation.loop import CURRENT
from simulation.promises import Promises, Send
from simulation.weather import Weather

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNT = Account(company_id=12, company_domain="acme", user_id=34)
CALL_TIMEOUT = timedelta(seconds=15)
"""How long a call of the token endpoint may take."""


def now() -> datetime:
    """Return the true time of the simulation."""
    return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass
class VaultModel:
    """KV version 2 with check-and-set."""

    weather: Weather
    history: History
    promises: Promises
    documents: dict[VaultLocation, Document] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    """The capabilities that the policy lacks: create, read, update."""
    backup: dict[VaultLocation, Document] = field(default_factory=dict)
    """Each document as it was first written."""

    def put(self, location: VaultLocation, **values: object) -> None:
        """Write a version at once, as a person does."""
        held = self.documents.get(location)
        version = held.version + 1 if held else 1
        self.documents[location] = Document(location=location, version=version, created_at=now(), values=values)
        self.backup.setdefault(location, self.documents[location])
        if "refresh_token" in values:
            self.promises.stored(values, by=who())
            self.history.note("vault", f"version {version}: {_told(values)}")

    def restore(self, location: VaultLocation) -> None:
        """Put back what a document was at first, as a person does after a disaster.

        The version goes on counting: docs/refresh-protocol.md says what one that is counted anew may cost.
        """
        version = self.documents[location].version + 1
        self.documents[location] = replace(self.backup[location], version=version)
        self.promises.restored(self.backup[location].values, by=who())
        self.history.note("vault", f"is restored: {_told(self.backup[location].values)}")

    def delete(self, location: VaultLocation) -> None:
        """Delete the newest version at once, as a person does; its number stays."""
        self.documents[location] = replace(self.documents[location], values={})

    async def read(self, location: VaultLocation, identity: VaultIdentity) -> Document | None:
        """Return the newest version."""
        assert identity == OPERATOR
        await self.weather.arrive(VaultUnavailable("Vault is away"))
        is_denied, found = "read" in self.denied, self.documents.get(location)
        await self.weather.answer(VaultUnavailable("Vault's answer was lost"))
        if is_denied:
            raise VaultDenied("the policy does not allow to read it")
        if found is not None and found is self.documents.get(location):  # or it is old news, of a former intent
            self.promises.acknowledges(found.values, by=who())
        return found

    async def write(
        self, location: VaultLocation, values: Mapping[str, object], identity: VaultIdentity, *, cas: int
    ) -> int:
        """Write by check-and-set."""
        assert identity == OPERATOR
        await self.weather.arrive(VaultUnavailable("Vault is away"))
        held = self.documents.get(location)
        is_denied = ("update" if held else "create") in self.denied
        has_changed = (held.version if held else 0) != cas
        if not is_denied and not has_changed:
            self.put(location, **values)
        await self.weather.answer(VaultUnavailable("Vault's answer was lost"))
        if is_denied:
            raise VaultDenied("the policy does not allow to write it")
        if has_changed:
            raise CheckAndSetConflict(str(location))
        self.promises.acknowledges(values, by=who())
        return cas + 1


def _told(values: Mapping[str, object]) -> str:
    keys = ("refresh_token", "refresh_id", "refresh_unanswered")
    return " ".join(f"{key}={values[key]}" for key in keys if key in values)


@dataclass
class PipedriveModel:
    """The token endpoint, with a refresh token that dies by its use (or does not), and who a token is."""

    weather: Weather
    history: History
    promises: Promises
    rotates: bool = True
    lifetime: timedelta = timedelta(minutes=4)
    rejects_client: bool = False
    turns_away: float = 0.0
    """How often it answers 429."""
    is_open: bool = True
    """Whether the company's subscription is paid."""
    api_tokens: set[str] = field(default_factory=set)
    alive: set[str] = field(default_factory=set)
    access: dict[str, datetime] = field(default_factory=dict)
    """When each access token expires."""
    numbers: int = 0

    def consent(self) -> str:
        """Give a person a new grant."""
        self.numbers += 1
        token = f"consent-{self.numbers}"
        self.alive = {token}
        self.promises.secrets.add(token)
        return token

    async def identify_api_token(self, value: SecretValue) -> Account:
        """Return the account of a known token."""
        return await self._identify(lambda: value.reveal() in self.api_tokens)

    async def identify_access_token(self, token: Token) -> Account:
        """Return the account of a living token."""
        return await self._identify(lambda: self.access.get(token.value.reveal(), EPOCH) > now())

    async def _identify(self, is_alive: Callable[[], bool]) -> Account:
        await self.weather.arrive(PipedriveUnavailable("Pipedrive is away"))
        refusal = self._turned_away() or (None if is_alive() else TokenRejected("Pipedrive refused the token"))
        await self.weather.answer(PipedriveUnavailable("Pipedrive's answer was lost"))
        if refusal is not None:
            raise refusal
        return ACCOUNT

    async def refresh(
        self, client: ClientCredentials, refresh_token: SecretValue, *, fence: Callable[[], None]
    ) -> TokenResponse:
        """Spend a refresh token, and perhaps lose the answer."""
        assert client.client_id
        await self.weather.arrive(PipedriveUnavailable("nothing was sent"))
        fence()
        send = Send(refresh_token.reveal(), who(), asyncio.get_running_loop().time())
        self.history.note("pipedrive", f"is sent {send.token}")
        expires_at = self.access.get(self.promises.newest_access)
        self.promises.sent(send, left=expires_at - now() if expires_at is not None else None, due=self.lifetime * 2 / 3)
        # What was sent is worked on whatever becomes of the sender.
        work = _outside(self._serve(send))
        done, _ = await asyncio.wait({work}, timeout=CALL_TIMEOUT.total_seconds())
        answer = work.result() if done else RefreshUncertain("no answer in time")
        if isinstance(answer, OperatorError):
            raise answer
        return answer

    async def _serve(self, send: Send) -> TokenResponse | OperatorError:
        await self.weather.pass_time()
        answer = None if self.weather.strikes(self.weather.loses_requests) else self._decide(send)
        send.ended = asyncio.get_running_loop().time()
        await self.weather.pass_time()
        if answer is None or self.weather.strikes(self.weather.loses_answers):
            if send.won is not None:
                self.history.excuse(f"the answer to {send.token} was lost")
            if self.weather.strikes(0.5):
                await asyncio.sleep(CALL_TIMEOUT.total_seconds())
            return RefreshUncertain("the connection was lost")
        return answer

    def _decide(self, send: Send) -> TokenResponse | OperatorError:
        if (refusal := self._turned_away()) is not None:
            return refusal
        if self.rejects_client:
            return ClientRejected("no such client")
        if send.token not in self.alive:
            self.history.note("pipedrive", f"refuses {send.token}", by=send.by)
            self.promises.refuses(send, is_newest=send.token == self.promises.newest)
            return ConsentRequired("Pipedrive refused the refresh token")
        return self._spend(send)

    def _turned_away(self) -> OperatorError | None:
        if self.weather.strikes(self.turns_away):
            return RateLimited("429", retry_after=timedelta(seconds=5))
        return None if self.is_open else AccountNotOpen("402")

    def _spend(self, send: Send) -> TokenResponse:
        self.numbers += 1
        send.won = f"refresh-{self.numbers}" if self.rotates else send.token
        self.promises.spent(send)
        self.alive = (self.alive - {send.token}) | {send.won}
        access = f"access-{self.numbers}"
        self.access[access] = now() + self.lifetime
        self.promises.secrets |= {send.won, access}
        self.history.note("pipedrive", f"spends {send.token} for {send.won}", by=send.by)
        return TokenResponse(
            access_token=SecretValue(access),
            refresh_token=SecretValue(send.won),
            token_type="Bearer",
            expires_in=self.lifetime,
            scope=frozenset({"base"}),
            api_domain="https://acme.pipedrive.com",
        )


def _outside(work: Coroutine[Any, Any, TokenResponse | OperatorError]) -> asyncio.Task[TokenResponse | OperatorError]:
    """Run something that no process can take down with it."""
    context = contextvars.copy_context()
    context.run(CURRENT.set, None)
    return asyncio.get_running_loop().create_task(work, context=context)
