"""Pipedrive's token endpoint, and the account of a token."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fakes.network import Network
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.grant import TokenResponse
from pipedrive_operator.core.grant.intent import ANSWER_TIMEOUTS
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    ClientRejected,
    ConsentRequired,
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    TokenRejected,
    TokenResponseUnusable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.ports import Clock
from support.builders import ACCOUNT

CALL_TIMEOUT = timedelta(seconds=15)
"""How long a call of the token endpoint may take."""
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class Send:
    """One refresh, as Pipedrive saw it."""

    token: str
    began: float
    by: str = ""
    intent: str = ""
    """The id of the intent that its sender has written."""
    ended: float | None = None
    successor: str | None = None
    """The refresh token in Pipedrive's response."""
    delivered: float | None = None
    """When its sender got the response, or gave up."""
    is_lost: bool = False
    """Whether the response never arrived."""
    is_code: bool = False
    """Whether the token is an authorization code."""


@dataclass
class FakePipedrive:
    """Implements `ports.Pipedrive`: a refresh token is revoked by its use, unless rotation is off."""

    clock: Clock
    network: Network = field(default_factory=Network)
    call_timeout: timedelta = CALL_TIMEOUT
    accounts: dict[str, Account] = field(default_factory=lambda: {"a" * 40: ACCOUNT})
    """The account of each API token and each access token."""
    company: Account = ACCOUNT
    """The account that people consent for."""
    owners: dict[str, Account] = field(default_factory=dict)
    """The account of each code and refresh token; `company` for the others."""
    codes: set[str] = field(default_factory=set)
    """The valid authorization codes."""
    consent_ends_others: bool = True
    """Whether a consent ends the grants of earlier ones."""
    alive: set[str] = field(default_factory=set)
    """The valid refresh tokens."""
    expiries: dict[str, datetime] = field(default_factory=dict)
    """When each access token expires."""
    identified: list[str] = field(default_factory=list)
    sends: list[Send] = field(default_factory=list)
    spent: list[str] = field(default_factory=list)
    breaks: Exception | None = None
    """The response to every call, if a test sets one."""
    rotates: bool = True
    lifetime: timedelta = timedelta(hours=1)
    rejects_client: bool = False
    limits: float = 0.0
    """How often it responds with 429, as a likelihood from 0 to 1."""
    is_open: bool = True
    """Whether the company's subscription is paid."""
    spoils_answers: float = 0.0
    """How often only the refresh token of a response is usable, as a likelihood from 0 to 1."""
    slows: float = 0.0
    """How often a response comes after the time-out of a call, as a likelihood from 0 to 1."""
    breaks_off: float = 0.0
    """How often a connection is lost while Pipedrive goes on with the request, as a likelihood from 0 to 1."""
    begins_late: float = 0.0
    """How often Pipedrive begins to process a request after its sender has given up, as a likelihood from 0 to 1."""
    gate: asyncio.Event | None = None
    """Refreshes wait here while a test keeps it closed."""
    waits: bool = False
    """Whether a refresh has reached the gate."""
    before_fence: Callable[[], None] = lambda: None
    numbers: int = 0

    @property
    def answer_timeout(self) -> float:
        """For how many seconds a sender waits for a response."""
        return ANSWER_TIMEOUTS * self.call_timeout.total_seconds()

    @property
    def sent(self) -> list[str]:
        """The refresh tokens that were sent."""
        return [send.token for send in self.sends]

    def consent(self) -> str:
        """Give a person a new grant."""
        self.numbers += 1
        token = f"consent-{self.numbers}"
        self.alive = {token}
        return token

    def accept(self, account: Account | None = None) -> SecretValue:
        """Press Accept as a user of an account, and return the code that the browser brings back."""
        self.numbers += 1
        code = f"code-{self.numbers}"
        self.codes.add(code)
        self.owners[code] = account or self.company
        return SecretValue(code)

    def owner(self, token: str) -> Account:
        """Return the account of a code or refresh token."""
        return self.owners.get(token, self.company)

    def answer(self) -> None:
        """Respond to the refreshes that wait at the gate."""
        assert self.gate is not None
        self.gate.set()

    def leaves(self, send: Send) -> None:
        """Do what a simulation does when a refresh leaves its sender."""

    def refuses(self, send: Send) -> None:
        """Do what a simulation does when a refresh token is refused."""

    def spends(self, send: Send, access_token: str) -> None:
        """Do what a simulation does when a refresh token was spent, before anything is answered."""

    def loses(self, send: Send) -> None:
        """Do what a simulation does when an answer was lost."""

    def withholds(self, _token: str) -> Exception | None:
        """Return why a simulation does not say whose a token is; None if it does."""
        return None

    async def identify_api_token(self, value: SecretValue) -> Account:
        """Return the account of a known token."""
        return await self._identify(value, lambda: value.reveal() not in self.expiries)

    async def identify_access_token(self, token: Token) -> Account:
        """Return the account of a token that has not expired."""
        return await self._identify(
            token.value, lambda: self.expiries.get(token.value.reveal(), NEVER) > self.clock.now()
        )

    async def _identify(self, value: SecretValue, is_alive: Callable[[], bool]) -> Account:
        await self.network.arrive(PipedriveUnavailable("Pipedrive is away"))
        self.identified.append(value.reveal())
        account = self.accounts.get(value.reveal()) if is_alive() else None
        refusal = self._turned_away() or self.withholds(value.reveal())
        await self.network.answer(PipedriveUnavailable("Pipedrive's answer was lost"))
        if refusal is not None:
            raise refusal
        if account is None:
            raise TokenRejected("Pipedrive refused the token")
        return account

    async def refresh(
        self, client: ClientCredentials, refresh_token: SecretValue, *, fence: Callable[[], Awaitable[None]]
    ) -> TokenResponse:
        """Spend a refresh token, and perhaps lose the answer."""
        return await self._ask(client, refresh_token, fence, is_code=False)

    async def exchange(
        self, client: ClientCredentials, code: SecretValue, redirect_uri: str, *, fence: Callable[[], Awaitable[None]]
    ) -> TokenResponse:
        """Exchange a code, and perhaps lose the answer."""
        assert redirect_uri
        return await self._ask(client, code, fence, is_code=True)

    async def _ask(
        self, client: ClientCredentials, token: SecretValue, fence: Callable[[], Awaitable[None]], *, is_code: bool
    ) -> TokenResponse:
        assert client.client_id
        assert client.client_secret
        await self.network.connect(PipedriveUnavailable("nothing was sent"))
        self.before_fence()
        await fence()
        send = Send(token.reveal(), asyncio.get_running_loop().time(), is_code=is_code)
        self.leaves(send)
        self.sends.append(send)
        work = _outside(self._serve(send))
        done, _ = await asyncio.wait({work}, timeout=self._patience())
        send.delivered = asyncio.get_running_loop().time()
        send.is_lost = send.is_lost or not done
        answer = work.result() if done else RefreshUncertain("no answer in time")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _patience(self) -> float:
        """Return for how many seconds the connection of a request lasts."""
        is_short = self.network.strikes(self.breaks_off)
        return self.network.chance.uniform(0, self.call_timeout.total_seconds()) if is_short else self.answer_timeout

    async def _serve(self, send: Send) -> TokenResponse | Exception:
        if self.gate is not None:
            self.waits = True
            await self.gate.wait()
        await self.network.pass_time()
        await self._queue()
        await self._dawdle()
        answer = None if self.network.strikes(self.network.loses_requests) else self._decide(send)
        send.ended = asyncio.get_running_loop().time()
        if send.delivered is None:  # otherwise nobody waits for the answer, and it is lost at once
            await self.network.pass_time()
            await self._dawdle()
        if answer is None or send.delivered is not None or self.network.strikes(self.network.loses_answers):
            send.is_lost = True
            self.loses(send)
            if self.network.strikes(self.network.hangs):
                await asyncio.sleep(self.answer_timeout)
            return RefreshUncertain("the connection was lost")
        return answer

    async def _queue(self) -> None:
        """Keep a request waiting sometimes until nobody waits for its answer."""
        if self.network.strikes(self.begins_late):
            await asyncio.sleep(self.network.chance.uniform(1.0, 2.5) * self.answer_timeout)

    async def _dawdle(self) -> None:
        """Take longer than the time-out of a call sometimes, and less than its answer is awaited."""
        if self.network.strikes(self.slows / 2):
            await asyncio.sleep(self.network.chance.uniform(0.7, 1.8) * self.call_timeout.total_seconds())

    def _decide(self, send: Send) -> TokenResponse | Exception:
        if (refusal := self._turned_away()) is not None:
            return refusal
        if self.rejects_client:
            return ClientRejected("no such client")
        if send.token not in (self.codes if send.is_code else self.alive):
            self.refuses(send)
            return ConsentRequired("Pipedrive refused the refresh token")
        return self._spend(send)

    def _turned_away(self) -> Exception | None:
        if self.breaks is not None:
            return self.breaks
        if self.network.strikes(self.limits):
            return RateLimited("429", retry_after=timedelta(seconds=5))
        return None if self.is_open else AccountNotOpen("402")

    def _spend(self, send: Send) -> TokenResponse | TokenResponseUnusable:
        self.numbers += 1
        successor = send.successor = f"refresh-{self.numbers}" if self.rotates or send.is_code else send.token
        access_token = f"access-{self.numbers}"
        owner = self.owner(send.token)
        if send.is_code and self.consent_ends_others:
            self.alive = {token for token in self.alive if self.owner(token) != owner}
        self.codes.discard(send.token)
        self.alive = (self.alive - {send.token}) | {successor}
        self.accounts[access_token] = self.owners[successor] = owner
        self.expiries[access_token] = self.clock.now() + self.lifetime
        self.spent.append(send.token)
        self.spends(send, access_token)
        if self.network.strikes(self.spoils_answers):
            return TokenResponseUnusable("api_domain is not Pipedrive's", SecretValue(successor))
        return TokenResponse(
            access_token=SecretValue(access_token),
            refresh_token=SecretValue(successor),
            token_type="Bearer",
            expires_in=self.lifetime,
            scope=frozenset({"base", "deals:full"}),
            api_domain="https://acme.pipedrive.com",
        )


def _outside(work: Coroutine[Any, Any, TokenResponse | Exception]) -> asyncio.Task[TokenResponse | Exception]:
    """Start a task that continues after its sender has died: its empty context belongs to no simulated process."""
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())
