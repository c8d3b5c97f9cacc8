"""The contract of `ports.Escrow`: the adapter keeps it on the model of the simulation as on a real API server."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from contracts.kubernetes_contract import ClusterPart
from contracts.wire import Loss
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.succession import EscrowedGrant
from pipedrive_operator.core.values.errors import ApiServerUnavailable, GrantUnstored
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import ACCOUNT, GRANT_LOCATION, grant

KEY = SecretValue("the-client-secret")
OTHER_LOCATION = replace(GRANT_LOCATION, path="pipedrive/crm/other")
OTHER_PLACES = [
    pytest.param(replace(GRANT_LOCATION, connection="another"), id="connection"),
    pytest.param(replace(GRANT_LOCATION, mount="another"), id="mount"),
    pytest.param(OTHER_LOCATION, id="path"),
]
"""Locations that differ in one part only."""
FIRST = grant("refresh-1", client_id="client", refreshed_from="digest-of-refresh-0", account=ACCOUNT)
SECOND = replace(FIRST, refresh_token=SecretValue("refresh-2"), refreshed_from="digest-of-refresh-1")


def by_refresh(opened: Sequence[EscrowedGrant]) -> dict[str, Grant]:
    """Return opened grants by the ids of their refreshes."""
    return {copy.refresh_id: copy.grant for copy in opened}


async def found_by_next_process(cluster: ClusterPart) -> dict[str, Grant]:
    """Return the escrow as a process sees it that starts now."""
    another = cluster.escrow()
    await another.load()
    return by_refresh(await another.open(GRANT_LOCATION, KEY))


async def test_a_location_without_an_escrow_has_nothing_to_open_or_drop(cluster: ClusterPart) -> None:
    """Neither call is an error."""
    escrow = cluster.escrow()

    await escrow.drop(GRANT_LOCATION, "refresh-a")

    assert await escrow.load() == []
    assert not await escrow.open(GRANT_LOCATION, KEY)


@pytest.mark.parametrize("other", OTHER_PLACES)
async def test_an_escrow_is_opened_as_it_was_kept(cluster: ClusterPart, other: VaultLocation) -> None:
    """The process that kept it can open it, and only for the location of its grant."""
    escrow = cluster.escrow()

    assert await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    assert by_refresh(await escrow.open(GRANT_LOCATION, KEY)) == {"refresh-a": FIRST}
    assert not await escrow.open(other, KEY)


@pytest.mark.parametrize("other", OTHER_PLACES)
async def test_an_escrow_is_reported_to_the_next_process(cluster: ClusterPart, other: VaultLocation) -> None:
    """Once that process has loaded the escrows, it knows that this one exists."""
    await cluster.escrow().keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    following = cluster.escrow()
    assert not following.holds(GRANT_LOCATION)

    [found] = await following.load()

    assert str(GRANT_LOCATION) in found
    assert following.holds(GRANT_LOCATION)
    assert not following.holds(other)


async def test_an_escrow_that_another_process_keeps_later_is_opened(cluster: ClusterPart) -> None:
    """Opening reads the cluster, so this process can then drop the escrow as well."""
    leading = cluster.escrow()
    assert await leading.load() == []
    await cluster.escrow().keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    assert by_refresh(await leading.open(GRANT_LOCATION, KEY)) == {"refresh-a": FIRST}

    assert leading.holds(GRANT_LOCATION)
    await leading.drop(GRANT_LOCATION, "refresh-a")
    assert await cluster.in_escrow() == 0


async def test_an_escrow_that_another_process_has_dropped_is_not_opened(cluster: ClusterPart) -> None:
    """A copy that Vault has stored since would cause a refresh that is not due."""
    leading, former = cluster.escrow(), cluster.escrow()
    await former.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    await leading.load()
    await former.drop(GRANT_LOCATION, "refresh-a")

    assert not await leading.open(GRANT_LOCATION, KEY)

    assert not leading.holds(GRANT_LOCATION)


async def test_loading_again_returns_only_the_escrows_that_others_added(cluster: ClusterPart) -> None:
    """The escrows of this process, and those that it has seen before, are not returned again."""
    leading = cluster.escrow()
    await leading.keep(OTHER_LOCATION, SECOND, "refresh-b", KEY)
    await cluster.escrow().keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    [found] = await leading.load()

    assert str(GRANT_LOCATION) in found
    assert await leading.load() == []
    assert by_refresh(await leading.open(OTHER_LOCATION, KEY)) == {"refresh-b": SECOND}


async def test_the_results_of_two_refreshes_are_kept_beside_each_other(cluster: ClusterPart) -> None:
    """A process that was stopped for long may wake up with an older result than the one in escrow."""
    stopped, leading = cluster.escrow(), cluster.escrow()
    await stopped.load()
    assert await leading.keep(GRANT_LOCATION, SECOND, "refresh-b", KEY)

    assert await stopped.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    assert await found_by_next_process(cluster) == {"refresh-a": FIRST, "refresh-b": SECOND}
    await stopped.drop(GRANT_LOCATION, "refresh-a")
    assert await found_by_next_process(cluster) == {"refresh-b": SECOND}


async def test_loading_in_between_lets_no_result_overwrite_another(cluster: ClusterPart) -> None:
    """A process that has seen a newer result still keeps its own one elsewhere."""
    stopped, leading = cluster.escrow(), cluster.escrow()
    await leading.keep(GRANT_LOCATION, SECOND, "refresh-b", KEY)
    await stopped.load()

    assert await stopped.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    await stopped.load()
    await stopped.drop(GRANT_LOCATION, "refresh-a")

    assert await found_by_next_process(cluster) == {"refresh-b": SECOND}


@pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
async def test_an_escrow_that_cannot_be_read_is_an_error(cluster: ClusterPart, loss: Loss) -> None:
    """It is not taken for absent, because a grant must not be declared dead for that reason."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    await cluster.lose(loss)

    with pytest.raises(ApiServerUnavailable):
        await escrow.open(GRANT_LOCATION, KEY)


async def test_an_escrow_cannot_be_opened_with_another_key(cluster: ClusterPart) -> None:
    """It stays for the process that has the right one."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    with pytest.raises(GrantUnstored) as caught:
        await escrow.open(GRANT_LOCATION, SecretValue("another"))

    assert "refresh-1" not in str(caught.value)
    assert by_refresh(await escrow.open(GRANT_LOCATION, KEY)) == {"refresh-a": FIRST}


async def test_an_escrow_that_cannot_be_opened_may_be_deleted_by_a_person(cluster: ClusterPart) -> None:
    """The process that could not open it then sees that it is gone."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    with pytest.raises(GrantUnstored):
        await escrow.open(GRANT_LOCATION, SecretValue("another"))

    await cluster.delete_escrow()

    assert not await escrow.open(GRANT_LOCATION, SecretValue("another"))


async def test_an_escrow_that_was_deleted_is_kept_again(cluster: ClusterPart) -> None:
    """Each answer is about the cluster as it is now, and not about an earlier success."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    await cluster.delete_escrow()

    assert await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    assert await found_by_next_process(cluster) == {"refresh-a": FIRST}


async def test_a_dropped_escrow_is_gone_for_all_processes(cluster: ClusterPart) -> None:
    """Nothing of it stays in the cluster."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    await escrow.drop(GRANT_LOCATION, "refresh-a")

    assert not await escrow.open(GRANT_LOCATION, KEY)
    assert await cluster.in_escrow() == 0


async def test_an_escrow_that_a_person_has_deleted_is_dropped(cluster: ClusterPart) -> None:
    """It is forgotten, and nothing is raised."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    await cluster.delete_escrow()

    await escrow.drop(GRANT_LOCATION, "refresh-a")

    assert not escrow.holds(GRANT_LOCATION)


async def test_the_result_of_a_refresh_is_kept_once(cluster: ClusterPart) -> None:
    """This holds however often the process tries."""
    escrow = cluster.escrow()

    kept = [await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY) for _ in range(3)]

    assert kept == [True, True, True]
    assert await cluster.in_escrow() == 1
    assert await found_by_next_process(cluster) == {"refresh-a": FIRST}


async def test_a_lost_request_keeps_nothing_and_raises_nothing(cluster: ClusterPart) -> None:
    """The answer is that nothing is certainly kept; the next attempt keeps it."""
    escrow = cluster.escrow()
    await cluster.lose(Loss.REQUESTS)
    assert not await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    cluster.heal()
    assert await cluster.in_escrow() == 0

    assert await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    assert await found_by_next_process(cluster) == {"refresh-a": FIRST}


async def test_after_a_lost_acknowledgement_an_escrow_is_kept_once_and_dropped(cluster: ClusterPart) -> None:
    """The answer is that nothing is certainly kept; the second attempt finds it."""
    escrow = cluster.escrow()
    await cluster.lose(Loss.ANSWERS)
    assert not await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    assert escrow.holds(GRANT_LOCATION)
    cluster.heal()
    assert await found_by_next_process(cluster) == {"refresh-a": FIRST}

    assert await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    assert await cluster.in_escrow() == 1
    await escrow.drop(GRANT_LOCATION, "refresh-a")
    assert await cluster.in_escrow() == 0


async def test_an_escrow_whose_acknowledgement_was_lost_is_dropped_without_a_second_attempt(
    cluster: ClusterPart,
) -> None:
    """Nothing then stays in escrow if Vault returns first."""
    escrow = cluster.escrow()
    await cluster.lose(Loss.ANSWERS)
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    cluster.heal()

    await escrow.drop(GRANT_LOCATION, "refresh-a")

    assert await cluster.in_escrow() == 0


@pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
async def test_an_escrow_that_could_not_be_dropped_is_dropped_later(cluster: ClusterPart, loss: Loss) -> None:
    """The failure is not raised, and the escrow may still exist as far as the process knows."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    await cluster.lose(loss)
    await escrow.drop(GRANT_LOCATION, "refresh-a")
    cluster.heal()
    assert escrow.holds(GRANT_LOCATION)

    await escrow.drop(GRANT_LOCATION, "refresh-a")

    assert not escrow.holds(GRANT_LOCATION)
    assert await cluster.in_escrow() == 0


@pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
async def test_a_later_refresh_is_kept_even_if_dropping_the_earlier_one_failed(
    cluster: ClusterPart, loss: Loss
) -> None:
    """Its refresh token exists nowhere else."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    await cluster.lose(loss)
    await escrow.drop(GRANT_LOCATION, "refresh-a")
    cluster.heal()

    assert await escrow.keep(GRANT_LOCATION, SECOND, "refresh-b", KEY)

    assert (await found_by_next_process(cluster))["refresh-b"] == SECOND
    await escrow.drop(GRANT_LOCATION, "refresh-a")
    await escrow.drop(GRANT_LOCATION, "refresh-b")
    assert await cluster.in_escrow() == 0


@pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
async def test_escrows_that_cannot_be_listed_are_an_error(cluster: ClusterPart, loss: Loss) -> None:
    """Nothing may be refreshed before they are known."""
    escrow = cluster.escrow()
    await cluster.lose(loss)

    with pytest.raises(ApiServerUnavailable):
        await escrow.load()
