"""One consent over a grant in Vault, or where there is none, with the exchange on the fakes."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from fakes.pipedrive import FakePipedrive
from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant.candidate import read_candidate
from pipedrive_operator.core.grant.grant import Grant, descending_from
from pipedrive_operator.core.grant.terms import Terms
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import Trouble, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.grants.exchange import CodeExchange
from pipedrive_operator.grants.values import Exchanged, ExchangeOrder
from support.builders import GRANT_LOCATION, GRANT_SOURCE, access_token
from support.refresh import Surroundings

OTHER_COMPANY = Account(company_id=99, company_domain="other", user_id=7)
CONSENT = "uid-of-consent"
REDIRECT_URI = "https://connect.example.com/callback"


@dataclass
class ConsentSurroundings(Surroundings):
    """The exchange, and what it stands on."""

    claims: list[str] = field(default_factory=list)
    """What Vault held when each code was claimed."""
    is_claimable: bool = True
    generations: Iterator[int] = field(default_factory=lambda: itertools.count(2))
    """The generations of the consent that bring the codes."""

    def start(self) -> None:
        """Start the process, or start it again with nothing remembered."""
        super().start()
        self.exchange = CodeExchange(self.protocol.parts)

    def order(
        self,
        *,
        company: Account | None = None,
        guard: AccountGuard | None = None,
        pinned: Account | None = None,
        allows_change: bool = False,
    ) -> ExchangeOrder:
        """Press Accept as a user of a company, and return the order to exchange the code."""
        return replace(
            exchange_order(GRANT_SOURCE, self.pipedrive.accept(company), began=self.clock.monotonic()),
            consent_generation=next(self.generations),
            guard=guard,
            pinned=pinned,
            allows_change=allows_change,
        )

    async def claim(self) -> bool:
        """Claim a code, as the consent's status does."""
        self.claims.append(str(self.vault.documents[GRANT_LOCATION].values.get("refresh_consent")))
        return self.is_claimable

    async def connect(self, **order: Any) -> ConsentReason | None:
        """Accept, exchange the code, and return how it ended."""
        found = await self.exchange.run(self.order(**order), self.claim)
        return found.reason if found is not None else None

    async def begin_exchange(self, order: ExchangeOrder | None = None) -> asyncio.Task[Exchanged | None]:
        """Begin an exchange, and return when Pipedrive has the code; `pipedrive.answer` lets it go on."""
        self.pipedrive.gate = asyncio.Event()
        task = asyncio.create_task(self.exchange.run(order or self.order(), self.claim))
        while not self.pipedrive.waits:  # noqa: ASYNC110  a turn of the loop, not a time
            await asyncio.sleep(0)
        return task

    async def seal_in_the_middle(self, order: ExchangeOrder) -> None:
        """Seal Vault after Pipedrive has the code, so that the result gets into escrow, and let the process die."""
        task = await self.begin_exchange(order)
        self.vault.breaks = VaultUnavailable("Vault is sealed")
        self.pipedrive.answer()
        await self.clock.somebody_sleeps.wait()
        task.cancel()
        self.vault.breaks = None

    async def die_with_a_candidate(self, **order: Any) -> ExchangeOrder:
        """Let the process die after the first copy, let the next one take over, and return the order."""
        made = self.order(**order)
        gate = asyncio.Event()

        async def wait(_: Token) -> Account:
            gate.set()
            await asyncio.Event().wait()
            raise AssertionError

        identify = self.pipedrive.identify_access_token
        self.pipedrive.identify_access_token = wait  # type: ignore[method-assign,assignment]
        task = asyncio.create_task(self.exchange.run(made, self.claim))
        await gate.wait()
        task.cancel()
        self.pipedrive.identify_access_token = identify  # type: ignore[method-assign]
        self.take_over()
        assert self.candidate is not None
        return made

    async def promote_what_is_renewed(self, renewals: int = 1) -> tuple[ExchangeOrder, Grant]:
        """Promote a candidate while a process that was stopped renews it; return its order, and the result of that."""
        order = await self.die_with_a_candidate()
        renewed = self.held
        await self.in_time(self.protocol.parts.candidates.settle(GRANT_SOURCE))
        for number in range(renewals):
            token, access = SecretValue(f"renewed-{number}"), access_token(f"new-{number}")
            renewed = descending_from(renewed, replace(renewed, refresh_token=token, token=access))
        return order, renewed

    async def leave_a_copy_of_a_dropped_candidate(self) -> None:
        """Leave a candidate of another account in Vault, which will be dropped, and a copy that cannot be deleted."""
        await self.die_with_a_candidate(company=OTHER_COMPANY, pinned=self.pipedrive.company)
        assert self.candidate is not None
        await self.escrow.keep(GRANT_LOCATION, self.candidate, "us-0", SecretValue("hush"))
        self.cluster.keeps_escrow_for_ever = True

    def terms_of_another(self) -> Terms:
        """Return the terms of another consent that was prepared over the grant in Vault."""
        return Terms(consent="another", consent_generation=2, expected=None, over=self.stored.origin)

    @property
    def values(self) -> dict[str, object]:
        """Everything that Vault holds at the grant's path."""
        return dict(self.vault.documents[GRANT_LOCATION].values)

    @property
    def candidate(self) -> Grant | None:
        """The candidate in Vault."""
        return read_candidate(self.vault.documents.get(GRANT_LOCATION))

    @property
    def held(self) -> Grant:
        """The candidate in Vault, where there is one."""
        assert self.candidate is not None
        return self.candidate

    async def exchange_half_usably(self) -> Exchanged | None:
        """Exchange a code with an answer of which only the refresh token can be used; later answers are usable."""
        self.pipedrive.spoils_answers = 1.0
        task = await self.begin_exchange()
        self.pipedrive.answer()
        while not self.pipedrive.spent:  # noqa: ASYNC110  a turn of the loop, not a time
            await asyncio.sleep(0)
        self.pipedrive.spoils_answers = 0.0
        return await self.in_time(task)

    async def renew_without_an_answer(self) -> None:
        """Let a process die with a candidate, and let the next one renew it in vain; the pause is over then."""
        await self.die_with_a_candidate()
        self.clock.turn(timedelta(hours=9))
        await self.lose_an_answer()
        self.clock.turn(timedelta(minutes=2))

    def take_over(self) -> None:
        """Let another process take over, to which the intents of the first one are those of another holder."""
        self.holder = "next"
        self.start()


def say_nothing_about(
    pipedrive: FakePipedrive, undecided: Grant, trouble: Trouble
) -> Callable[[Token], Awaitable[Account]]:
    """Let Pipedrive answer with a trouble when it is asked whose a grant is, and return how it answers otherwise."""
    identify = pipedrive.identify_access_token

    async def say_nothing(token: Token) -> Account:
        if undecided.token is not None and token.value == undecided.token.value:
            raise trouble
        return await identify(token)

    pipedrive.identify_access_token = say_nothing  # type: ignore[method-assign]
    return identify


def exchange_order(source: GrantWithClient, code: SecretValue, *, began: float) -> ExchangeOrder:
    """Return the order to exchange a code, of the first answer to a consent."""
    return ExchangeOrder(
        source=source,
        consent=CONSENT,
        consent_generation=2,
        code=code,
        redirect_uri=REDIRECT_URI,
        client_id="client",
        guard=None,
        pinned=None,
        allows_change=False,
        began=began,
    )


async def claimed() -> bool:
    """Claim a code, as if the status of its consent had been written."""
    return True
