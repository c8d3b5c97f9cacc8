"""Scenarios with one fault each and a clear expectation, whose failure is an AssertionError. Its steps: `story.py`.

The short ones also run as tests, in tests/trials; `make chaos` runs all of them.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final

from chaos import interruptions
from chaos.cell import Cell, Grant
from chaos.conclusion import gather
from chaos.kills import EXPIRES_IN, ChaosError, Say, settle
from chaos.report import HAND_OVER_SECONDS, LONGEST_TAKEOVER, Scenario
from chaos.story import (
    PATIENCE,
    UNANSWERED_SECONDS,
    Story,
    accepted,
    escrow_is_settled,
    held,
    lone,
    nothing_was_lost,
    pair,
    refresh_slowly,
    settled,
    wait_for_other_leader,
)
from chaos.surroundings import Environment, define, set_up
from support.tenant import eventually
from testbed.api_client import ApiError
from testbed.control_plane import ControlPlane

CUT_SECONDS: Final = 4.0
_LONGER: Final = 20
"""In seconds: the lifetime of access tokens where each refresh is counted."""
_ONE_REFRESH_EACH: Final = _LONGER / 2 - 6
"""In seconds: a token is refreshed at half of its life, up to three seconds early. A busy machine needs the rest."""


def sealed_in_the_middle_of_a_refresh(environment: Environment) -> None:
    """Seal Vault before the result is stored, and kill the operator: the next process stores the escrow."""
    with lone(environment, "sealed") as cell:
        replica = cell.replicas[0]
        issued = refresh_slowly(environment, cell, meanwhile=environment.openbao.seal)
        eventually(cell.escrow, within=PATIENCE)
        replica.kill()
        replica.process.start()
        environment.openbao.unseal()
        escrow_is_settled(environment, cell, issued)


def openbao_killed_in_the_middle_of_a_refresh(environment: Environment) -> None:
    """Kill OpenBao before the result is stored, and restart it: the result is stored, and no escrow remains."""
    with lone(environment, "killed-vault") as cell:
        issued = refresh_slowly(environment, cell, meanwhile=environment.openbao.kill)
        eventually(cell.escrow, within=PATIENCE)
        environment.openbao.start()
        environment.openbao.unseal()
        escrow_is_settled(environment, cell, issued)


def the_api_server_restarted(environment: Environment) -> None:
    """Kill the API server during a refresh: the result reaches Vault, and is published once that is possible."""
    with lone(environment, "restarted") as cell:
        issued = refresh_slowly(environment, cell, meanwhile=environment.cluster.stop_apiserver)
        eventually(lambda: held(environment, cell.grants["acme"]) == issued, within=PATIENCE)
        environment.cluster.start_apiserver()
        settle(environment, [cell])
        nothing_was_lost(environment, cell)


def links_cut(environment: Environment) -> None:
    """Cut and then block each link of an operator for some seconds; the operator recovers by itself."""
    with lone(environment, "cut") as cell:
        for way, link in cell.replicas[0].links.items():
            for cut in (link.cut, link.hang):
                cut()
                time.sleep(CUT_SECONDS)
                link.mend()
                # A link may have been cut while a request was in flight.
                settled(environment, cell, f"after {way} was unreachable", within=UNANSWERED_SECONDS)
        nothing_was_lost(environment, cell, except_lost_answers=True)


def leadership(environment: Environment) -> None:
    """Move the leadership by a shutdown, by a kill, and by freezing the leader for longer than its Lease."""
    with ExitStack() as stack:
        killed, stopped = (stack.enter_context(pair(environment, name)) for name in ("killed", "stopped"))
        for cell in (killed, stopped):
            _hands_over_cleanly(cell)
        victim, sleeper = (eventually(cell.leader) for cell in (killed, stopped))
        sleeper.process.freeze()
        victim.kill()
        died_at = time.monotonic()
        wait_for_other_leader(killed, victim, within=LONGEST_TAKEOVER - (time.monotonic() - died_at))
        successor = wait_for_other_leader(stopped, sleeper, within=LONGEST_TAKEOVER)
        sleeper.process.thaw()
        awake_at = time.time()
        for cell in (killed, stopped):
            settle(environment, [cell])
        assert successor.leads()
        assert not sleeper.leads()
        did = [one for one in gather(environment, [stopped]).writes if one.by == sleeper.name and one.at > awake_at]
        assert [] == did, "a former leader wrote to Vault after another replica had acquired the Lease"
        for cell in (killed, stopped):
            nothing_was_lost(environment, cell)


def one_grant_in_two_clusters(environment: Environment) -> None:
    """Share a grant in one Vault between two clusters: one refresh per renewal, and equal Secrets."""
    with ExitStack() as stack:
        stack.enter_context(_longer_tokens(environment))
        other = stack.enter_context(ControlPlane(controllers=()))
        define(other)
        here, there = (
            stack.enter_context(Cell(environment, name, replicas=1, cluster=cluster))
            for name, cluster in (("here", environment.cluster), ("there", other))
        )
        shared = here.grants["acme"] = there.grants["acme"] = here.add_grant("acme", shared=True)
        for cell in (here, there):
            cell.apply({(cell.name, "acme"): shared}, renewBefore="1h")
            cell.start()
        _converges_with_one_refresh_a_renewal(environment, shared, [(here, here.name), (there, there.name)])


def one_grant_in_two_namespaces(environment: Environment) -> None:
    """Share a grant between three credentials in two namespaces: one refresh per renewal, and equal Secrets."""
    with _longer_tokens(environment), Cell(environment, "near", replicas=1, namespaces=["far"]) as cell:
        shared = cell.add_grant("acme", shared=True)
        keys = [("near", "acme"), ("near", "acme-too"), ("far", "acme")]
        cell.apply(dict.fromkeys(keys, shared), renewBefore="1h")
        cell.start()
        _converges_with_one_refresh_a_renewal(environment, shared, [(cell, "near"), (cell, "far")])


STORIES: Final[Sequence[Story]] = (
    sealed_in_the_middle_of_a_refresh,
    openbao_killed_in_the_middle_of_a_refresh,
    the_api_server_restarted,
    links_cut,
    leadership,
    interruptions.asked_to_stop_with_vault_sealed,
    interruptions.frozen_between_intent_and_send,
    interruptions.pipedrive_slower_than_the_time_out,
    interruptions.the_link_cut_at_the_fence,
    one_grant_in_two_clusters,
    one_grant_in_two_namespaces,
)


def run(folder: Path, say: Say) -> Sequence[Scenario]:
    """Run all scenarios in order. Raises ProcessError, BuildError and KubectlError if one cannot be run."""
    played = []
    with set_up(folder, expires_in=EXPIRES_IN) as environment:
        for story in STORIES:
            name, began, failure = story.__name__.replace("_", " "), time.monotonic(), ""
            try:
                story(environment)
            except (AssertionError, ChaosError, ApiError) as error:
                failure = str(error) or "an expectation failed"
            played.append(Scenario(name=name, seconds=time.monotonic() - began, failure=failure))
            say(f"{name}: {failure or 'passed'}")
    return played


def _hands_over_cleanly(cell: Cell) -> None:
    leader = eventually(cell.leader)
    began = time.monotonic()
    leader.process.stop()
    wait_for_other_leader(cell, leader, within=HAND_OVER_SECONDS - (time.monotonic() - began))
    leader.process.start()
    leader.process.wait_ready()


@contextmanager
def _longer_tokens(environment: Environment) -> Iterator[None]:
    """Let access tokens live longer during the block, so that a busy machine does not bring two refreshes together."""
    environment.pipedrive.set_switches(expires_in=_LONGER)
    try:
        yield
    finally:
        environment.pipedrive.set_switches(expires_in=EXPIRES_IN)


def _converges_with_one_refresh_a_renewal(
    environment: Environment, grant: Grant, places: Sequence[tuple[Cell, str]]
) -> None:
    def same() -> bool:
        states = [state for cell, namespace in places for state in cell.look(namespace).values()]
        tokens = {state.secret.get("access_token") for state in states}
        in_vault = (environment.openbao.read_secret(grant.path) or {}).get("access_token")
        return all(state.ready for state in states) and tokens == {in_vault} and None not in tokens

    for _ in range(3):
        before = len(accepted(environment, grant))
        eventually(lambda before=before: len(accepted(environment, grant)) > before and same(), within=PATIENCE)  # type: ignore[misc]
    taken = [call.started_at for call in environment.pipedrive.ledger().refreshes(grant.consents[-1])]
    gaps = [later - earlier for earlier, later in pairwise(taken)]
    assert min(gaps) >= _ONE_REFRESH_EACH, f"more than one refresh per renewal: {gaps}"
