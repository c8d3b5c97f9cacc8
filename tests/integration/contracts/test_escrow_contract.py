"""The contract of `ports.Escrow`, which the fake and the adapter, which stores Secrets, must both keep."""

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


async def found_by_next_process(cluster: ClusterPart) -> Grant | None:
    """Return the escrow as a process sees it that starts now."""
    another = cluster.escrow()
    await another.load()
    return await another.open(GRANT_LOCATION, KEY)


async def test_a_location_without_an_escrow_has_nothing_to_open_or_drop(cluster: ClusterPart) -> None:
    """Neither call is an error."""
    escrow = cluster.escrow()

    await escrow.drop(GRANT_LOCATION)

    assert await escrow.load() == []
    assert await escrow.open(GRANT_LOCATION, KEY) is None


async def test_an_escrow_is_opened_as_it_was_kept(cluster: ClusterPart) -> None:
    """The process that kept it opens it, for the location of its grant only."""
    escrow = cluster.escrow()

    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    assert await escrow.open(GRANT_LOCATION, KEY) == FIRST
    assert await escrow.open(OTHER_LOCATION, KEY) is None


async def test_an_escrow_is_found_by_the_next_process(cluster: ClusterPart) -> None:
    """Once that process has loaded the escrows."""
    await cluster.escrow().keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    following = cluster.escrow()
    assert await following.open(GRANT_LOCATION, KEY) is None

    [found] = await following.load()

    assert str(GRANT_LOCATION) in found
    assert await following.open(GRANT_LOCATION, KEY) == FIRST


async def test_an_escrow_that_another_process_keeps_later_is_found(cluster: ClusterPart) -> None:
    """This process can then open and drop it."""
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


async def test_a_second_load_returns_only_new_escrows_of_others(cluster: ClusterPart) -> None:
    """The escrows of this process, and those that it has seen before, are not returned again."""
    leading = cluster.escrow()
    await leading.keep(OTHER_LOCATION, SECOND, "refresh-b", KEY)
    await cluster.escrow().keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    [found] = await leading.load()

    assert str(GRANT_LOCATION) in found
    assert await leading.load() == []
    assert await leading.open(GRANT_LOCATION, KEY) == FIRST
    assert await leading.open(OTHER_LOCATION, KEY) == SECOND


@pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
async def test_a_failed_search_for_an_escrow_is_an_error(cluster: ClusterPart, loss: Loss) -> None:
    """Otherwise the grant would be given up although its escrow may exist."""
    escrow = cluster.escrow()
    await cluster.lose(loss)

    with pytest.raises(ApiServerUnavailable):
        await escrow.find(GRANT_LOCATION)


async def test_an_escrow_is_not_opened_with_another_key(cluster: ClusterPart) -> None:
    """It stays, and the right key opens it."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    with pytest.raises(GrantUnstored) as caught:
        await escrow.open(GRANT_LOCATION, SecretValue("another"))

    assert "refresh-1" not in str(caught.value)
    assert await escrow.open(GRANT_LOCATION, KEY) == FIRST


async def test_an_escrow_that_cannot_be_opened_can_be_deleted_by_a_person(cluster: ClusterPart) -> None:
    """The process that could not open it notices."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    with pytest.raises(GrantUnstored):
        await escrow.open(GRANT_LOCATION, SecretValue("another"))

    await cluster.delete_escrow(GRANT_LOCATION)

    assert await escrow.open(GRANT_LOCATION, SecretValue("another")) is None


async def test_a_dropped_escrow_is_gone_for_every_process(cluster: ClusterPart) -> None:
    """The cluster holds nothing of it any more."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    await escrow.drop(GRANT_LOCATION)

    assert await escrow.open(GRANT_LOCATION, KEY) is None
    assert await cluster.in_escrow() == 0


async def test_the_same_refresh_is_kept_once(cluster: ClusterPart) -> None:
    """The number of attempts does not matter."""
    escrow = cluster.escrow()

    for _ in range(3):
        await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    assert await cluster.in_escrow() == 1
    assert await found_by_next_process(cluster) == FIRST


async def test_a_later_refresh_replaces_an_earlier_one(cluster: ClusterPart) -> None:
    """The earlier one stays if it could not be dropped."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    await escrow.keep(GRANT_LOCATION, SECOND, "refresh-b", SecretValue("new-client-secret"))

    assert await cluster.in_escrow() == 1
    assert await escrow.open(GRANT_LOCATION, SecretValue("new-client-secret")) == SECOND


async def test_the_escrow_of_another_process_is_neither_replaced_nor_dropped(cluster: ClusterPart) -> None:
    """A process that was stopped for a long time may resume with an older grant."""
    stopped = cluster.escrow()
    await stopped.load()
    await cluster.escrow().keep(GRANT_LOCATION, SECOND, "refresh-b", KEY)

    for _ in range(3):
        await stopped.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    await stopped.drop(GRANT_LOCATION)

    assert await found_by_next_process(cluster) == SECOND


async def test_a_lost_attempt_to_keep_an_escrow_is_not_raised(cluster: ClusterPart) -> None:
    """The next attempt keeps it."""
    escrow = cluster.escrow()
    await cluster.lose(Loss.REQUESTS)
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    cluster.heal()
    assert await cluster.in_escrow() == 0

    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    assert await found_by_next_process(cluster) == FIRST


async def test_an_unacknowledged_escrow_is_kept_once_and_dropped(cluster: ClusterPart) -> None:
    """A second attempt finds it; it is opened and dropped as any other."""
    escrow = cluster.escrow()
    await cluster.lose(Loss.ANSWERS)
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    cluster.heal()
    assert await found_by_next_process(cluster) == FIRST

    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)

    assert await cluster.in_escrow() == 1
    assert await escrow.open(GRANT_LOCATION, KEY) == FIRST
    await escrow.drop(GRANT_LOCATION)
    assert await cluster.in_escrow() == 0


async def test_an_unacknowledged_escrow_is_dropped_without_a_second_attempt(
    cluster: ClusterPart,
) -> None:
    """Vault may recover before the second attempt."""
    escrow = cluster.escrow()
    await cluster.lose(Loss.ANSWERS)
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    cluster.heal()

    await escrow.drop(GRANT_LOCATION)

    assert await cluster.in_escrow() == 0


async def test_an_escrow_that_could_not_be_dropped_is_opened_and_dropped_later(cluster: ClusterPart) -> None:
    """A failure to drop it is not raised."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    await cluster.lose(Loss.REQUESTS)
    await escrow.drop(GRANT_LOCATION)
    cluster.heal()
    assert await escrow.open(GRANT_LOCATION, KEY) == FIRST

    await escrow.drop(GRANT_LOCATION)

    assert await cluster.in_escrow() == 0


@pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
async def test_a_later_refresh_is_kept_even_if_dropping_the_earlier_one_failed(
    cluster: ClusterPart, loss: Loss
) -> None:
    """Its refresh token exists nowhere else."""
    escrow = cluster.escrow()
    await escrow.keep(GRANT_LOCATION, FIRST, "refresh-a", KEY)
    await cluster.lose(loss)
    await escrow.drop(GRANT_LOCATION)
    cluster.heal()

    await escrow.keep(GRANT_LOCATION, SECOND, "refresh-b", KEY)

    assert await found_by_next_process(cluster) == SECOND
    await escrow.drop(GRANT_LOCATION)
    assert await cluster.in_escrow() == 0


@pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
async def test_a_failed_list_of_escrows_is_an_error(cluster: ClusterPart, loss: Loss) -> None:
    """Nothing may be refreshed before the escrows are known."""
    escrow = cluster.escrow()
    await cluster.lose(loss)

    with pytest.raises(ApiServerUnavailable):
        await escrow.load()
