"""What `ports.Escrow` promises, kept by the fake and by Secrets of a real API server alike."""

from dataclasses import replace

import pytest

from contracts.kubernetes_contract import ClusterPart
from contracts.wire import Loss
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.values.errors import ApiServerUnavailable, GrantUnstored
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import ACCOUNT, GRANT_LOCATION, grant

KEY = SecretValue("the-client-secret")
OTHER_LOCATION = replace(GRANT_LOCATION, path="pipedrive/crm/other")
FIRST = grant("refresh-1", client_id="client", refreshed_from="digest-of-refresh-0", account=ACCOUNT)
SECOND = replace(FIRST, refresh_token=SecretValue("refresh-2"), refreshed_from="digest-of-refresh-1")


async def found_by_another(cluster: ClusterPart) -> Grant | None:
    """Open the escrow as the next process does."""
    another = cluster.escrow()
    await another.load()
    return await another.open(GRANT_LOCATION, KEY)


async def test_where_nothing_is_kept_nothing_is_opened_or_dropped(cluster: ClusterPart) -> None:
    """And nothing is wrong with that."""
    escrow = cluster.escrow()

    await escrow.drop(GRANT_LOCATION)

    assert await escrow.load() == []
    assert await escrow.open(GRANT_LOCATION, KEY) is None


async def test_what_is_kept_is_opened_as_it_was(cluster: ClusterPart) -> None:
    """By the process that keeps it, and for its grant alone."""
    escrow = cluster.escrow()

    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    assert await escrow.open(GRANT_LOCATION, KEY) == FIRST
    assert await escrow.open(OTHER_LOCATION, KEY) is None


async def test_what_is_kept_is_found_by_the_next_process(cluster: ClusterPart) -> None:
    """Once it has looked."""
    await cluster.escrow().keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    following = cluster.escrow()
    assert await following.open(GRANT_LOCATION, KEY) is None

    [found] = await following.load()

    assert str(GRANT_LOCATION) in found
    assert await following.open(GRANT_LOCATION, KEY) == FIRST


async def test_what_another_process_keeps_later_is_found_when_looked_for(cluster: ClusterPart) -> None:
    """And is then this process's to open and to drop."""
    leading = cluster.escrow()
    assert await leading.load() == []
    assert not await leading.find(GRANT_LOCATION)
    await cluster.escrow().keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    assert not leading.holds(GRANT_LOCATION)

    assert await leading.find(GRANT_LOCATION)

    assert leading.holds(GRANT_LOCATION)
    assert await leading.open(GRANT_LOCATION, KEY) == FIRST
    await leading.drop(GRANT_LOCATION)
    assert await cluster.in_escrow() == 0


async def test_a_second_look_tells_of_what_others_have_left_since(cluster: ClusterPart) -> None:
    """The escrows of this process, and those that it has seen before, are not reported again."""
    leading = cluster.escrow()
    await leading.keep(OTHER_LOCATION, SECOND, "refresh-b", KEY)
    await cluster.escrow().keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    [found] = await leading.load()

    assert str(GRANT_LOCATION) in found
    assert await leading.load() == []
    assert await leading.open(GRANT_LOCATION, KEY) == FIRST
    assert await leading.open(OTHER_LOCATION, KEY) == SECOND


@pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
async def test_an_escrow_that_cannot_be_looked_for_is_told(cluster: ClusterPart, loss: Loss) -> None:
    """A grant must not be given up for it."""
    escrow = cluster.escrow()
    await cluster.lose(loss)

    with pytest.raises(ApiServerUnavailable):
        await escrow.find(GRANT_LOCATION)


async def test_it_is_not_opened_with_another_key(cluster: ClusterPart) -> None:
    """And is still there for who has the right one."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    with pytest.raises(GrantUnstored) as caught:
        await escrow.open(GRANT_LOCATION, SecretValue("another"))

    assert "refresh-1" not in str(caught.value)
    assert await escrow.open(GRANT_LOCATION, KEY) == FIRST


async def test_what_cannot_be_opened_may_be_deleted_by_a_person(cluster: ClusterPart) -> None:
    """The process that could not open it sees that."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    with pytest.raises(GrantUnstored):
        await escrow.open(GRANT_LOCATION, SecretValue("another"))

    await cluster.delete_escrow(GRANT_LOCATION)

    assert await escrow.open(GRANT_LOCATION, SecretValue("another")) is None


async def test_what_is_dropped_is_gone_for_everybody(cluster: ClusterPart) -> None:
    """Nothing of it is left."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    await escrow.drop(GRANT_LOCATION)

    assert await escrow.open(GRANT_LOCATION, KEY) is None
    assert await cluster.in_escrow() == 0


async def test_the_same_refresh_is_kept_once(cluster: ClusterPart) -> None:
    """However often it is tried."""
    escrow = cluster.escrow()

    for _ in range(3):
        await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    assert await cluster.in_escrow() == 1
    assert await found_by_another(cluster) == FIRST


async def test_a_later_refresh_takes_the_place_of_an_earlier_one(cluster: ClusterPart) -> None:
    """As when the earlier one could not be dropped."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    await escrow.keep(GRANT_LOCATION, SECOND, "refresh-b", SecretValue("new-client-secret"))

    assert await cluster.in_escrow() == 1
    assert await escrow.open(GRANT_LOCATION, SecretValue("new-client-secret")) == SECOND


async def test_what_another_process_keeps_is_neither_replaced_nor_dropped(cluster: ClusterPart) -> None:
    """A process that was stopped for long may wake up with something older."""
    stopped = cluster.escrow()
    await stopped.load()
    await cluster.escrow().keep(GRANT_LOCATION, SECOND, "refresh-b", KEY)

    for _ in range(3):
        await stopped.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    await stopped.drop(GRANT_LOCATION)

    assert await found_by_another(cluster) == SECOND


async def test_what_is_lost_on_the_way_is_not_kept_and_not_raised(cluster: ClusterPart) -> None:
    """The next try keeps it."""
    escrow = cluster.escrow()
    await cluster.lose(Loss.REQUESTS)
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    cluster.heal()
    assert await cluster.in_escrow() == 0

    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    assert await found_by_another(cluster) == FIRST


async def test_what_is_kept_without_an_acknowledgement_is_kept_once_and_dropped(cluster: ClusterPart) -> None:
    """A second try finds it, and it is opened and dropped as any other."""
    escrow = cluster.escrow()
    await cluster.lose(Loss.ANSWERS)
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    cluster.heal()
    assert await found_by_another(cluster) == FIRST

    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    assert await cluster.in_escrow() == 1
    assert await escrow.open(GRANT_LOCATION, KEY) == FIRST
    await escrow.drop(GRANT_LOCATION)
    assert await cluster.in_escrow() == 0


async def test_what_is_kept_without_an_acknowledgement_is_dropped_without_a_second_try(cluster: ClusterPart) -> None:
    """As when Vault comes back first."""
    escrow = cluster.escrow()
    await cluster.lose(Loss.ANSWERS)
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    cluster.heal()

    await escrow.drop(GRANT_LOCATION)

    assert await cluster.in_escrow() == 0


async def test_what_could_not_be_dropped_is_opened_and_dropped_later(cluster: ClusterPart) -> None:
    """A failure is not raised."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    await cluster.lose(Loss.REQUESTS)
    await escrow.drop(GRANT_LOCATION)
    cluster.heal()
    assert await escrow.open(GRANT_LOCATION, KEY) == FIRST

    await escrow.drop(GRANT_LOCATION)

    assert await cluster.in_escrow() == 0


@pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
async def test_a_later_refresh_is_kept_whatever_became_of_dropping_the_earlier(
    cluster: ClusterPart, loss: Loss
) -> None:
    """Its refresh token exists nowhere else."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    await cluster.lose(loss)
    await escrow.drop(GRANT_LOCATION)
    cluster.heal()

    await escrow.keep(GRANT_LOCATION, SECOND, "refresh-b", KEY)

    assert await found_by_another(cluster) == SECOND
    await escrow.drop(GRANT_LOCATION)
    assert await cluster.in_escrow() == 0


@pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
async def test_an_escrow_that_cannot_be_listed_is_told(cluster: ClusterPart, loss: Loss) -> None:
    """Nothing may be refreshed before it is known."""
    escrow = cluster.escrow()
    await cluster.lose(loss)

    with pytest.raises(ApiServerUnavailable):
        await escrow.load()
