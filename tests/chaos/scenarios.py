"""Scenarios with one fault each and a clear expectation, whose failure is an AssertionError.

The short ones also run as tests, in tests/trials; `make chaos` runs all of them.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Final, Self

from chaos import judgement
from chaos.cell import Cell, Grant, Replica
from chaos.kills import EXPIRES_IN, ChaosError, Say, gather, settle
from chaos.report import HAND_OVER_SECONDS, LONGEST_TAKEOVER, Scenario
from chaos.surroundings import Environment, define, set_up
from support.tenant import eventually
from testbed.api_client import ApiError
from testbed.control_plane import ControlPlane
from testbed.pipedrive.tokens import digest_of

SLOW_SECONDS: Final = 1.5
"""How long an answer is delayed, so that a fault can happen before it arrives."""
CUT_SECONDS: Final = 4.0
_PATIENCE: Final = 40.0
_ONE_REFRESH_EACH: Final = EXPIRES_IN / 2 - 2.5
"""In seconds: a token is refreshed at half of its lifetime, up to a tenth early, in whole seconds."""

Story = Callable[[Environment], None]


def sealed_in_the_middle_of_a_refresh(environment: Environment) -> None:
    """Seal Vault before the result is stored, and kill the operator: the next process stores the escrow."""
    with _lone(environment, "sealed") as cell:
        grant, replica = cell.grants["acme"], cell.replicas[0]
        issued = _refresh_slowly(environment, cell, meanwhile=environment.openbao.seal)
        eventually(cell.escrow, within=_PATIENCE)
        replica.kill()
        replica.process.start()
        environment.openbao.unseal()
        _wait_until_held(environment, cell, grant, issued)
        eventually(lambda: not cell.escrow(), within=_PATIENCE)
        _nothing_was_lost(environment, cell)


def openbao_killed_in_the_middle_of_a_refresh(environment: Environment) -> None:
    """Kill OpenBao before the result is stored, and restart it: the result is stored, and no escrow remains."""
    with _lone(environment, "killed-vault") as cell:
        issued = _refresh_slowly(environment, cell, meanwhile=environment.openbao.kill)
        eventually(cell.escrow, within=_PATIENCE)
        environment.openbao.start()
        environment.openbao.unseal()
        _wait_until_held(environment, cell, cell.grants["acme"], issued)
        eventually(lambda: not cell.escrow(), within=_PATIENCE)
        _nothing_was_lost(environment, cell)


def the_api_server_restarted(environment: Environment) -> None:
    """Kill the API server during a refresh: the result reaches Vault, and is published once that is possible."""
    with _lone(environment, "restarted") as cell:
        issued = _refresh_slowly(environment, cell, meanwhile=environment.cluster.stop_apiserver)
        eventually(lambda: _held(environment, cell.grants["acme"]) == issued, within=_PATIENCE)
        environment.cluster.start_apiserver()
        settle(environment, [cell])
        _nothing_was_lost(environment, cell)


def links_cut(environment: Environment) -> None:
    """Cut and then block each link of an operator for some seconds; the operator recovers by itself."""
    with _lone(environment, "cut") as cell:
        for way, link in cell.replicas[0].links.items():
            for cut in (link.cut, link.hang):
                cut()
                time.sleep(CUT_SECONDS)
                link.mend()
                _settled(environment, cell, f"after {way} was unreachable")
        _nothing_was_lost(environment, cell, except_lost_answers=True)


def leadership(environment: Environment) -> None:
    """Move the leadership by a shutdown, by a kill, and by freezing the leader for longer than its Lease."""
    with ExitStack() as stack:
        killed, stopped = (stack.enter_context(_pair(environment, name)) for name in ("killed", "stopped"))
        for cell in (killed, stopped):
            _hands_over_cleanly(cell)
        victim, sleeper = (eventually(cell.leader) for cell in (killed, stopped))
        sleeper.process.freeze()
        victim.kill()
        died_at = time.monotonic()
        _wait_for_other_leader(killed, victim, within=LONGEST_TAKEOVER - (time.monotonic() - died_at))
        successor = _wait_for_other_leader(stopped, sleeper, within=LONGEST_TAKEOVER)
        sleeper.process.thaw()
        awake_at = time.time()
        for cell in (killed, stopped):
            settle(environment, [cell])
        assert successor.leads()
        assert not sleeper.leads()
        did = [one for one in gather(environment, [stopped]).writes if one.by == sleeper.name and one.at > awake_at]
        assert [] == did, "a former leader wrote to Vault after another replica had acquired the Lease"
        for cell in (killed, stopped):
            _nothing_was_lost(environment, cell)


def one_grant_in_two_clusters(environment: Environment) -> None:
    """Share a grant in one Vault between two clusters: one refresh per renewal, and equal Secrets."""
    with ExitStack() as stack:
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
    with Cell(environment, "near", replicas=1, namespaces=["far"]) as cell:
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


def _lone(environment: Environment, name: str) -> Cell:
    return _Story(environment, name, replicas=1)


def _pair(environment: Environment, name: str) -> Cell:
    return _Story(environment, name, replicas=2)


class _Story(Cell):
    """A deployment with one grant whose credential is ready when the block begins."""

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.apply({(self.name, "acme"): self.add_grant("acme")}, renewBefore="1h")
            self.start()
            eventually(lambda: self.look()["acme"].ready, within=_PATIENCE)
        except BaseException:
            self.__exit__()
            raise
        return self


def _refresh_slowly(environment: Environment, cell: Cell, *, meanwhile: Callable[[], None]) -> str:
    """Do something after Pipedrive accepts a refresh and before it answers; return the digest of the issued token."""
    grant = cell.grants["acme"]
    before = len(_accepted(environment, grant))
    environment.pipedrive.add_fault("slow", endpoint="token", effect="after", delay=SLOW_SECONDS, times=1)
    issued = eventually(lambda: _accepted(environment, grant)[before:], within=_PATIENCE)[0]
    meanwhile()
    return issued


def _accepted(environment: Environment, grant: Grant) -> list[str]:
    calls = environment.pipedrive.ledger().refreshes(grant.consents[-1])
    return [call.issued for call in calls if call.issued is not None]


def _held(environment: Environment, grant: Grant) -> str:
    return digest_of((environment.openbao.read_secret(grant.path) or {})["refresh_token"])


def _wait_until_held(environment: Environment, cell: Cell, grant: Grant, issued: str) -> None:
    """Wait until the issued token is in Vault or was used, which shows that it was not lost."""
    eventually(lambda: issued in {_held(environment, grant), *_spent(environment, grant)}, within=_PATIENCE)
    _settled(environment, cell, "after the refresh was stored")


def _spent(environment: Environment, grant: Grant) -> list[str]:
    calls = environment.pipedrive.ledger().refreshes(grant.consents[-1])
    return [call.subject.digest or "" for call in calls if call.issued is not None]


def _settled(environment: Environment, cell: Cell, when: str) -> None:
    try:
        settle(environment, [cell], within=_PATIENCE)
    except ChaosError as error:
        message = f"{when}: {error}"
        raise AssertionError(message) from error


def _nothing_was_lost(environment: Environment, cell: Cell, *, except_lost_answers: bool = False) -> None:
    """Shut the operators down gracefully, and judge the whole run."""
    cell.stop()
    evidence = gather(environment, [cell])
    refreshes = evidence.refreshes
    held = {grant.path: _held(environment, grant) for grant in cell.grants.values()}
    assert [] == judgement.accepted_twice(refreshes)
    assert [] == judgement.sent_again(evidence)
    assert [] == judgement.sent_at_once(refreshes)
    lost = [one for one in judgement.lost(refreshes, held, []) if one.delivered or not except_lost_answers]
    assert [] == lost


def _hands_over_cleanly(cell: Cell) -> None:
    leader = eventually(cell.leader)
    began = time.monotonic()
    leader.process.stop()
    _wait_for_other_leader(cell, leader, within=HAND_OVER_SECONDS - (time.monotonic() - began))
    leader.process.start()
    leader.process.wait_ready()


def _wait_for_other_leader(cell: Cell, former: Replica, *, within: float) -> Replica:
    def look() -> Replica | None:
        return next((one for one in cell.replicas if one is not former and one.leads()), None)

    look.__doc__ = f"another leader of {cell.name}"
    return eventually(look, within=within)


def _converges_with_one_refresh_a_renewal(
    environment: Environment, grant: Grant, places: Sequence[tuple[Cell, str]]
) -> None:
    def same() -> bool:
        states = [state for cell, namespace in places for state in cell.look(namespace).values()]
        tokens = {state.secret.get("access_token") for state in states}
        held = (environment.openbao.read_secret(grant.path) or {}).get("access_token")
        return all(state.ready for state in states) and tokens == {held} and None not in tokens

    for _ in range(3):
        before = len(_accepted(environment, grant))
        eventually(lambda before=before: len(_accepted(environment, grant)) > before and same(), within=_PATIENCE)  # type: ignore[misc]
    taken = [call.started_at for call in environment.pipedrive.ledger().refreshes(grant.consents[-1])]
    gaps = [later - earlier for earlier, later in pairwise(taken)]
    assert min(gaps) >= _ONE_REFRESH_EACH, f"more than one refresh per renewal: {gaps}"
