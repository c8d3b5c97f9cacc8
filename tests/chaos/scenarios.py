"""Each trouble by itself, as a story whose end can be seen. A failed expectation is an AssertionError.

The stories that fit are tests too, in tests/integration/chaos; `make chaos` plays all of them.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Final, Self

from chaos import judgement
from chaos.cell import Cell, Grant, Replica
from chaos.kills import EXPIRES_IN, ChaosError, Tell, gather, settle
from chaos.report import HAND_OVER_SECONDS, LONGEST_TAKEOVER, Scenario
from chaos.stage import Stage, define, set_up
from support.tenant import eventually
from testbed.api_client import ApiError
from testbed.control_plane import ControlPlane
from testbed.pipedrive.tokens import digest_of

SLOW_SECONDS: Final = 1.5
"""How long an answer is held back, so that something can happen meanwhile."""
CUT_SECONDS: Final = 4.0
_PATIENCE: Final = 40.0
_ONE_REFRESH_EACH: Final = EXPIRES_IN / 2 - 2.5
"""In seconds: a token is renewed at half of its life, a tenth of that early, and both ends are whole seconds."""

Story = Callable[[Stage], None]


def sealed_in_the_middle_of_a_refresh(stage: Stage) -> None:
    """Sealed before it can store, killed while it waits: the escrow is there, and the next process completes it."""
    with _lone(stage, "sealed") as cell:
        grant, replica = cell.grants["acme"], cell.replicas[0]
        won = _refresh_slowly(stage, cell, meanwhile=stage.openbao.seal)
        eventually(cell.escrow, within=_PATIENCE)
        replica.kill()
        replica.process.start()
        stage.openbao.unseal()
        _wait_until_held(stage, cell, grant, won)
        eventually(lambda: not cell.escrow(), within=_PATIENCE)
        _nothing_was_lost(stage, cell)


def openbao_killed_in_the_middle_of_a_refresh(stage: Stage) -> None:
    """Killed before the operator can store, and brought back: it is stored, and no escrow is left."""
    with _lone(stage, "killed-vault") as cell:
        won = _refresh_slowly(stage, cell, meanwhile=stage.openbao.kill)
        eventually(cell.escrow, within=_PATIENCE)
        stage.openbao.start()
        stage.openbao.unseal()
        _wait_until_held(stage, cell, cell.grants["acme"], won)
        eventually(lambda: not cell.escrow(), within=_PATIENCE)
        _nothing_was_lost(stage, cell)


def the_api_server_restarted(stage: Stage) -> None:
    """Killed in the middle of a refresh: what was won is in Vault, and is published as soon as that is possible."""
    with _lone(stage, "restarted") as cell:
        won = _refresh_slowly(stage, cell, meanwhile=stage.cluster.stop_apiserver)
        eventually(lambda: _held(stage, cell.grants["acme"]) == won, within=_PATIENCE)
        stage.cluster.start_apiserver()
        settle(stage, [cell])
        _nothing_was_lost(stage, cell)


def links_cut(stage: Stage) -> None:
    """Each way out of an operator is cut, and then blocked, for some seconds; it recovers by itself."""
    with _lone(stage, "cut") as cell:
        for way, link in cell.replicas[0].links.items():
            for cut in (link.cut, link.hang):
                cut()
                time.sleep(CUT_SECONDS)
                link.mend()
                _settled(stage, cell, f"after {way} was away")
        _nothing_was_lost(stage, cell, but_for_lost_answers=True)


def leadership(stage: Stage) -> None:
    """Handed over cleanly, after a kill, and from a leader that stops past its Lease and then goes on."""
    with ExitStack() as stack:
        killed, stopped = (stack.enter_context(_pair(stage, name)) for name in ("killed", "stopped"))
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
            settle(stage, [cell])
        assert successor.leads()
        assert not sleeper.leads()
        did = [one for one in gather(stage, [stopped]).writes if one.by == sleeper.name and one.at > awake_at]
        assert [] == did, "a former leader wrote to Vault after its Lease had gone to another"
        for cell in (killed, stopped):
            _nothing_was_lost(stage, cell)


def one_grant_in_two_clusters(stage: Stage) -> None:
    """Two operators with an API server each share a grant in one Vault: one refresh a renewal, and the same Secrets."""
    with ExitStack() as stack:
        other = stack.enter_context(ControlPlane(controllers=()))
        define(other)
        here, there = (
            stack.enter_context(Cell(stage, name, replicas=1, cluster=cluster))
            for name, cluster in (("here", stage.cluster), ("there", other))
        )
        shared = here.grants["acme"] = there.grants["acme"] = here.add_grant("acme", shared=True)
        for cell in (here, there):
            cell.apply({(cell.name, "acme"): shared}, renewBefore="1h")
            cell.start()
        _converges_with_one_refresh_a_renewal(stage, shared, [(here, here.name), (there, there.name)])


def one_grant_in_two_namespaces(stage: Stage) -> None:
    """Three credentials in two namespaces share a grant: one refresh a renewal, and the same Secrets."""
    with Cell(stage, "near", replicas=1, namespaces=["far"]) as cell:
        shared = cell.add_grant("acme", shared=True)
        keys = [("near", "acme"), ("near", "acme-too"), ("far", "acme")]
        cell.apply(dict.fromkeys(keys, shared), renewBefore="1h")
        cell.start()
        _converges_with_one_refresh_a_renewal(stage, shared, [(cell, "near"), (cell, "far")])


STORIES: Final[Sequence[Story]] = (
    sealed_in_the_middle_of_a_refresh,
    openbao_killed_in_the_middle_of_a_refresh,
    the_api_server_restarted,
    links_cut,
    leadership,
    one_grant_in_two_clusters,
    one_grant_in_two_namespaces,
)


def run(folder: Path, tell: Tell) -> Sequence[Scenario]:
    """Play all, one after another. Raises ProcessError, BuildError and KubectlError where one cannot be played."""
    played = []
    with set_up(folder, expires_in=EXPIRES_IN) as stage:
        for story in STORIES:
            name, began, failure = story.__name__.replace("_", " "), time.monotonic(), ""
            try:
                story(stage)
            except (AssertionError, ChaosError, ApiError) as error:
                failure = str(error) or "not as expected"
            played.append(Scenario(name=name, seconds=time.monotonic() - began, failure=failure))
            tell(f"{name}: {failure or 'as it should be'}")
    return played


def _lone(stage: Stage, name: str) -> Cell:
    return _Story(stage, name, replicas=1)


def _pair(stage: Stage, name: str) -> Cell:
    return _Story(stage, name, replicas=2)


class _Story(Cell):
    """A cell with one grant, which is ready from the beginning of the block."""

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


def _refresh_slowly(stage: Stage, cell: Cell, *, meanwhile: Callable[[], None]) -> str:
    """Do something between Pipedrive's taking of a refresh and its answer; return the digest of what was won."""
    grant = cell.grants["acme"]
    before = len(_accepted(stage, grant))
    stage.pipedrive.add_fault("slow", endpoint="token", effect="after", delay=SLOW_SECONDS, times=1)
    won = eventually(lambda: _accepted(stage, grant)[before:], within=_PATIENCE)[0]
    meanwhile()
    return won


def _accepted(stage: Stage, grant: Grant) -> list[str]:
    calls = stage.pipedrive.ledger().refreshes(grant.consents[-1])
    return [call.issued for call in calls if call.issued is not None]


def _held(stage: Stage, grant: Grant) -> str:
    return digest_of((stage.openbao.read_secret(grant.path) or {})["refresh_token"])


def _wait_until_held(stage: Stage, cell: Cell, grant: Grant, won: str) -> None:
    """Wait until what was won has reached Vault and was used: it was not lost."""
    eventually(lambda: won in {_held(stage, grant), *_spent(stage, grant)}, within=_PATIENCE)
    _settled(stage, cell, "after the refresh was stored")


def _spent(stage: Stage, grant: Grant) -> list[str]:
    calls = stage.pipedrive.ledger().refreshes(grant.consents[-1])
    return [call.subject.digest or "" for call in calls if call.issued is not None]


def _settled(stage: Stage, cell: Cell, when: str) -> None:
    try:
        settle(stage, [cell], within=_PATIENCE)
    except ChaosError as error:
        message = f"{when}: {error}"
        raise AssertionError(message) from error


def _nothing_was_lost(stage: Stage, cell: Cell, *, but_for_lost_answers: bool = False) -> None:
    """End the operators in order, and look at the whole story."""
    cell.stop()
    evidence = gather(stage, [cell])
    refreshes = evidence.refreshes
    held = {grant.path: _held(stage, grant) for grant in cell.grants.values()}
    assert [] == judgement.accepted_twice(refreshes)
    assert [] == judgement.sent_again(evidence)
    assert [] == judgement.sent_at_once(refreshes)
    lost = [one for one in judgement.lost(refreshes, held, []) if one.delivered or not but_for_lost_answers]
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


def _converges_with_one_refresh_a_renewal(stage: Stage, grant: Grant, places: Sequence[tuple[Cell, str]]) -> None:
    def same() -> bool:
        sights = [sight for cell, namespace in places for sight in cell.look(namespace).values()]
        tokens = {sight.secret.get("access_token") for sight in sights}
        held = (stage.openbao.read_secret(grant.path) or {}).get("access_token")
        return all(sight.ready for sight in sights) and tokens == {held} and None not in tokens

    for _ in range(3):
        before = len(_accepted(stage, grant))
        eventually(lambda before=before: len(_accepted(stage, grant)) > before and same(), within=_PATIENCE)  # type: ignore[misc]
    taken = [call.started_at for call in stage.pipedrive.ledger().refreshes(grant.consents[-1])]
    gaps = [later - earlier for earlier, later in pairwise(taken)]
    assert min(gaps) >= _ONE_REFRESH_EACH, f"more than one refresh a renewal: {gaps}"
