"""Scenarios that interrupt a refresh at the moments at which an answer, or the right to act, may be lost.

A failed expectation is an AssertionError, as in `scenarios.py`.
"""

import time
from typing import Final

from chaos.cell import PIPEDRIVE_SECONDS, Cell, Replica, Way
from chaos.conclusion import gather
from chaos.evidence import Kind, read_writes
from chaos.report import LONGEST_TAKEOVER
from chaos.story import (
    PATIENCE,
    UNANSWERED_SECONDS,
    accepted,
    escrow_is_settled,
    lone,
    nothing_was_lost,
    pair,
    refresh_slowly,
    settled,
    wait_for_other_leader,
    wait_until_held,
)
from chaos.surroundings import Environment
from support.tenant import eventually
from testbed.processes import ProcessError

LATE_SECONDS: Final = PIPEDRIVE_SECONDS * 2.0
"""How late Pipedrive answers: after the request has timed out, and before the operator stops listening."""
HELD_UP_SECONDS: Final = 1.0
"""How long the acknowledgement of an intent travels, so that a fault can happen before it arrives."""
SLEEP_SECONDS: Final = 90
"""A time-out of Vault that outlasts a freeze: the acknowledgement of the intent is there when the process wakes up."""
STOP_SECONDS: Final = 55.0
"""The chart's grace period is a minute."""
_NO_RESPONSE: Final = {"PipedriveUnavailable", "RefreshUncertain"}
"""The reasons of a refresh that was not sent, and of one whose outcome is unknown."""


def asked_to_stop_with_vault_sealed(environment: Environment) -> None:
    """Seal Vault in the middle of a refresh and send SIGTERM: the result waits in escrow for the next process."""
    with lone(environment, "terminated") as cell:
        replica = cell.replicas[0]
        issued = refresh_slowly(environment, cell, meanwhile=environment.openbao.seal)
        replica.process.terminate()
        try:
            assert replica.process.wait(timeout=STOP_SECONDS) == 0
        except ProcessError as error:
            raise AssertionError(str(error)) from error
        assert cell.escrow(), "the result is neither in Vault nor in escrow"
        environment.openbao.unseal()
        replica.process.start()
        escrow_is_settled(environment, cell, issued)


def frozen_between_intent_and_send(environment: Environment) -> None:
    """Freeze the leader before its intent is acknowledged, until another replica has refreshed: it sends nothing."""
    with pair(environment, "asleep", vault_seconds=SLEEP_SECONDS) as cell:
        grant, sleeper = cell.grants["acme"], eventually(cell.leader)
        _wait_for_intent(environment, cell, sleeper)
        sleeper.process.freeze()
        before = len(accepted(environment, grant))
        wait_for_other_leader(cell, sleeper, within=LONGEST_TAKEOVER)
        # The other replica waits until the sleeper's intent is over: it may be an unanswered request.
        eventually(lambda: len(accepted(environment, grant)) > before, within=UNANSWERED_SECONDS)
        sleeper.links[Way.VAULT].delay(0)
        awake_at = time.time()
        sleeper.process.thaw()
        settled(environment, cell, "after a replica had been frozen between its intent and its request")
        evidence = gather(environment, [cell])
        assert [] == [one for one in evidence.writes if one.by == sleeper.name and one.at > awake_at]
        nothing_was_lost(environment, cell)


def pipedrive_slower_than_the_time_out(environment: Environment) -> None:
    """Answer after the request has timed out, before or after the token is spent: the late answer is stored."""
    with lone(environment, "late") as cell:
        grant = cell.grants["acme"]
        for effect in ("after", "before"):
            before = len(accepted(environment, grant))
            environment.pipedrive.add_fault("slow", endpoint="token", effect=effect, delay=LATE_SECONDS, times=1)
            issued = eventually(lambda before=before: accepted(environment, grant)[before:], within=PATIENCE)[0]  # type: ignore[misc]
            wait_until_held(environment, cell, grant, issued)
        nothing_was_lost(environment, cell)


def the_link_cut_at_the_fence(environment: Environment) -> None:
    """Cut and block the way to Pipedrive before a request is sent: it never arrives late, beside the next one.

    A request that could not leave has no unknown outcome. One that vanished has.
    """
    with lone(environment, "fenced") as cell:
        replica = cell.replicas[0]
        way = replica.links[Way.PIPEDRIVE]
        for disturb, reason in ((way.cut, "PipedriveUnavailable"), (way.hang, "RefreshUncertain")):
            _wait_for_intent(environment, cell, replica)
            disturb()
            replica.links[Way.VAULT].delay(0)
            _wait_for_reason(cell, reason)
            way.mend()
            settled(environment, cell, "after the way to Pipedrive was interrupted", within=UNANSWERED_SECONDS)
        nothing_was_lost(environment, cell)


def _wait_for_reason(cell: Cell, reason: str) -> None:
    """Wait until the credential shows one of the two reasons, which must be this one."""

    def look() -> set[str]:
        """Return why the credential is not refreshed."""
        return {one["reason"] for one in cell.look()["acme"].conditions.values()} & _NO_RESPONSE

    seen = eventually(look, within=PATIENCE)
    assert seen == {reason}, f"it reports {', '.join(seen)}, and not {reason}"


def _wait_for_intent(environment: Environment, cell: Cell, replica: Replica) -> None:
    """Wait until Vault has stored an intent of a replica, and is about to acknowledge it."""
    path, began = cell.grants["acme"].path, time.time()
    replica.links[Way.VAULT].delay(HELD_UP_SECONDS)

    def is_written() -> bool:
        """Return whether an intent was written."""
        writes = read_writes(environment.openbao.kv_answers())
        return any(
            one.kind is Kind.INTENT and one.by == replica.name and one.path == path and one.at > began for one in writes
        )

    eventually(is_written, within=PATIENCE)
