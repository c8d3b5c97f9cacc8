"""The steps of the scenarios: a deployment with one grant, a refresh that something interrupts, and the judgement."""

from collections.abc import Callable
from typing import Any, Final, Self

from chaos import judgement
from chaos.cell import Cell, Grant, Replica
from chaos.conclusion import LIMITS, gather
from chaos.kills import ChaosError, settle
from chaos.sent_again import sent_again, sent_at_once
from chaos.surroundings import Environment
from support.tenant import eventually
from testbed.pipedrive.tokens import digest_of

SLOW_SECONDS: Final = 1.5
"""How long an answer is delayed, so that a fault can happen before it arrives."""
UNANSWERED_SECONDS: Final = 150.0
"""How long a credential may take to be refreshed after a request whose outcome is unknown."""
PATIENCE: Final = 40.0
"""In seconds."""

Story = Callable[[Environment], None]


def lone(environment: Environment, name: str) -> Cell:
    """Describe a deployment of one replica with one grant; it is ready when its block begins."""
    return _Story(environment, name, replicas=1)


def pair(environment: Environment, name: str, **options: Any) -> Cell:
    """Describe a deployment of two replicas with one grant; it is ready when its block begins."""
    return _Story(environment, name, replicas=2, **options)


class _Story(Cell):
    """A deployment with one grant whose credential is ready when the block begins."""

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.apply({(self.name, "acme"): self.add_grant("acme")}, renewBefore="1h")
            self.start()
            eventually(lambda: self.look()["acme"].ready, within=PATIENCE)
        except BaseException:
            self.__exit__()
            raise
        return self


def refresh_slowly(environment: Environment, cell: Cell, *, meanwhile: Callable[[], None]) -> str:
    """Do something after Pipedrive accepts a refresh and before it answers; return the digest of the issued token."""
    grant = cell.grants["acme"]
    before = len(accepted(environment, grant))
    environment.pipedrive.add_fault("slow", endpoint="token", effect="after", delay=SLOW_SECONDS, times=1)
    issued = eventually(lambda: accepted(environment, grant)[before:], within=PATIENCE)[0]
    meanwhile()
    return issued


def accepted(environment: Environment, grant: Grant) -> list[str]:
    """Return the digests of the refresh tokens that Pipedrive has issued in exchange for another."""
    calls = environment.pipedrive.ledger().refreshes(grant.consents[-1])
    return [call.issued for call in calls if call.issued is not None]


def held(environment: Environment, grant: Grant) -> str:
    """Return the digest of the refresh token in Vault."""
    return digest_of((environment.openbao.read_secret(grant.path) or {})["refresh_token"])


def wait_until_held(environment: Environment, cell: Cell, grant: Grant, issued: str) -> None:
    """Wait until the issued token is in Vault or was used, which shows that it was not lost."""
    eventually(lambda: issued in {held(environment, grant), *_spent(environment, grant)}, within=PATIENCE)
    settled(environment, cell, "after the refresh was stored")


def escrow_is_settled(environment: Environment, cell: Cell, issued: str) -> None:
    """Wait until the result in escrow is in Vault and no escrow is left, and judge the whole run."""
    wait_until_held(environment, cell, cell.grants["acme"], issued)
    eventually(lambda: not cell.escrow(), within=PATIENCE)
    nothing_was_lost(environment, cell)


def _spent(environment: Environment, grant: Grant) -> list[str]:
    calls = environment.pipedrive.ledger().refreshes(grant.consents[-1])
    return [call.subject.digest or "" for call in calls if call.issued is not None]


def settled(environment: Environment, cell: Cell, when: str, *, within: float = PATIENCE) -> None:
    """Wait until the credential is refreshed and published again. Raises AssertionError that says when it was not."""
    try:
        settle(environment, [cell], within=within)
    except ChaosError as error:
        message = f"{when}: {error}"
        raise AssertionError(message) from error


def nothing_was_lost(environment: Environment, cell: Cell, *, except_lost_answers: bool = False) -> None:
    """Shut the operators down gracefully, and judge the whole run."""
    cell.stop()
    evidence = gather(environment, [cell])
    refreshes = evidence.refreshes
    in_vault = {grant.path: held(environment, grant) for grant in cell.grants.values()}
    assert [] == judgement.accepted_twice(refreshes)
    assert [] == sent_again(evidence).known
    assert [] == sent_at_once(refreshes, patience=LIMITS.answer).early
    lost = [one for one in judgement.lost(refreshes, in_vault, []) if one.delivered or not except_lost_answers]
    assert [] == lost


def wait_for_other_leader(cell: Cell, former: Replica, *, within: float) -> Replica:
    """Return the replica that leads after another one. Raises AssertionError after `within` seconds."""

    def look() -> Replica | None:
        return next((one for one in cell.replicas if one is not former and one.leads()), None)

    look.__doc__ = f"another leader of {cell.name}"
    return eventually(look, within=within)
