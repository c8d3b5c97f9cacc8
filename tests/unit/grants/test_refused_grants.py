"""What replaces a refused grant from escrow: nothing of its own line that was spent."""

from dataclasses import replace

import pytest

from fakes.escrow import build_escrow
from pipedrive_operator.core.grant.grant import Grant, half_refreshed_grant, write_grant
from pipedrive_operator.core.values.errors import ConsentRequired
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import GRANT_LOCATION, access_token
from support.refresh import Surroundings

CLIENT_SECRET = SecretValue("hush")


async def test_a_refused_grant_is_not_replaced_by_its_predecessor_from_escrow(around: Surroundings) -> None:
    """The copy landed late, after Vault had stored it and the next one."""
    around.vault.put(GRANT_LOCATION, **write_grant(_refreshed("second", _refreshed("first")), {}))
    await around.escrow.keep(GRANT_LOCATION, _refreshed("first"), "us-0", CLIENT_SECRET)
    around.cluster.keeps_escrow_for_ever = True
    around.pipedrive.alive = set()

    with pytest.raises(ConsentRequired):
        await around.in_time(around.run())

    assert (["second"], SecretValue("second")) == (around.pipedrive.sent, around.stored.refresh_token)


@pytest.mark.parametrize("ancestor", [0, 1, 2])
async def test_a_refused_grant_is_not_replaced_by_any_of_its_line_from_escrow(
    around: Surroundings, ancestor: int
) -> None:
    """Each of them was spent, and its copy cannot be deleted."""
    line = [Grant(refresh_token=SecretValue("seed")), first := _refreshed("first"), _refreshed("second", first)]
    around.vault.put(GRANT_LOCATION, **write_grant(_refreshed("third", line[-1]), {}))
    await around.escrow.keep(GRANT_LOCATION, line[ancestor], "us-0", CLIENT_SECRET)
    around.cluster.keeps_escrow_for_ever = True
    around.pipedrive.alive = set()

    with pytest.raises(ConsentRequired):
        await around.in_time(around.run())

    assert ["third"] == around.pipedrive.sent


@pytest.mark.parametrize("by_us", [True, False])
async def test_a_refused_grant_is_not_replaced_by_what_this_process_knows_to_be_spent(
    around: Surroundings, *, by_us: bool
) -> None:
    """Vault holds nothing of its line any more: another cluster has put back an old copy, which is refused too."""
    first = _refreshed("first")
    if by_us:
        around.vault.put(GRANT_LOCATION, **write_grant(first, {}))
        around.pipedrive.alive = {"first"}
        await around.in_time(around.run())
    await around.escrow.keep(GRANT_LOCATION, first, "us-0", CLIENT_SECRET)
    around.cluster.keeps_escrow_for_ever = True
    if not by_us:
        around.vault.put(GRANT_LOCATION, **write_grant(replace(_refreshed("second", first), token=access_token()), {}))
        await around.in_time(around.run())
    around.vault.put(GRANT_LOCATION, refresh_token="of another line")
    sent = len(around.pipedrive.sent)

    with pytest.raises(ConsentRequired):
        await around.in_time(around.run())

    assert ["of another line"] == around.pipedrive.sent[sent:]


async def test_a_refused_grant_is_replaced_by_a_copy_whose_refresh_token_does_not_rotate(around: Surroundings) -> None:
    """It was refreshed, which has not spent it."""
    first = Grant(refresh_token=SecretValue("seed"))
    await around.escrow.keep(GRANT_LOCATION, first, "us-0", CLIENT_SECRET)
    around.cluster.keeps_escrow_for_ever = True
    refreshed = replace(half_refreshed_grant(first, SecretValue("seed")), token=access_token())
    around.vault.put(GRANT_LOCATION, **write_grant(refreshed, {}))
    await around.in_time(around.run())
    around.vault.put(GRANT_LOCATION, refresh_token="of another line")

    await around.in_time(around.run())

    assert ["of another line", "seed"] == around.pipedrive.sent


async def test_the_copy_of_an_ancestor_of_a_refused_grant_is_deleted(around: Surroundings) -> None:
    """A webhook has kept it from being deleted before."""
    around.vault.put(GRANT_LOCATION, **write_grant(_refreshed("second", _refreshed("first")), {}))
    await around.escrow.keep(GRANT_LOCATION, Grant(refresh_token=SecretValue("seed")), "us-0", CLIENT_SECRET)
    around.pipedrive.alive = set()

    with pytest.raises(ConsentRequired):
        await around.in_time(around.run())

    assert {} == around.cluster.escrow


async def test_a_refused_grant_is_replaced_by_its_sibling_that_was_kept_meanwhile(around: Surroundings) -> None:
    """A vendor has accepted the refresh token twice, and has ended the grant of the second request."""
    around.vault.put(GRANT_LOCATION, **write_grant(_refreshed("second"), {}))
    around.pipedrive.alive = {"first"}
    task = await around.begin()
    await build_escrow(around.cluster).keep(GRANT_LOCATION, _refreshed("first"), "them-1", CLIENT_SECRET)
    around.pipedrive.answer()

    await around.in_time(task)

    assert SecretValue("first").digest() == around.stored.refreshed_from


async def test_the_successor_of_a_refused_grant_replaces_it_although_fewer_refreshes_led_to_it(
    around: Surroundings,
) -> None:
    """The vendor has begun to rotate, and a process that was stopped keeps the first new token late."""
    held = Grant(refresh_token=SecretValue("seed"))
    rotated = half_refreshed_grant(held, SecretValue("new"))
    for _ in range(3):
        held = half_refreshed_grant(held, SecretValue("seed"))
    around.vault.put(GRANT_LOCATION, **write_grant(held, {}))
    around.pipedrive.alive = {"new"}
    task = await around.begin()
    await build_escrow(around.cluster).keep(GRANT_LOCATION, rotated, "them-1", CLIENT_SECRET)
    around.pipedrive.answer()

    await around.in_time(task)

    assert rotated.lineage == around.stored.refreshed_from


async def test_a_copy_from_a_release_that_did_not_count_is_not_taken_for_an_ancestor(around: Surroundings) -> None:
    """The operator was rolled back for a while, and Vault was restored."""
    third = _refreshed("third", _refreshed("second", first := _refreshed("first")))
    around.vault.put(GRANT_LOCATION, **write_grant(first, {}))
    await around.escrow.keep(GRANT_LOCATION, replace(third, refresh_count=0), "us-0", CLIENT_SECRET)
    around.pipedrive.alive = {"third"}

    await around.in_time(around.run())

    assert third.lineage == around.stored.refreshed_from


async def test_the_predecessor_of_a_grant_from_a_release_that_did_not_count_is_not_sent(around: Surroundings) -> None:
    """Its copy cannot be deleted."""
    first = replace(_refreshed("first"), refresh_count=0)
    second = replace(_refreshed("second", first), refresh_count=0)
    around.vault.put(GRANT_LOCATION, **write_grant(second, {}))
    await around.escrow.keep(GRANT_LOCATION, first, "us-0", CLIENT_SECRET)
    around.cluster.keeps_escrow_for_ever = True
    around.pipedrive.alive = set()

    with pytest.raises(ConsentRequired):
        await around.in_time(around.run())

    assert ["second"] == around.pipedrive.sent


async def test_a_consent_that_brings_the_origin_of_a_refused_grant_again_replaces_it(around: Surroundings) -> None:
    """It was handed over. Pipedrive may issue the same refresh token to another consent."""
    newer = Grant(refresh_token=SecretValue("seed"), consent="newer", consent_generation=2)
    around.vault.put(GRANT_LOCATION, **write_grant(_refreshed("second", _refreshed("first")), {}))
    await around.escrow.keep(GRANT_LOCATION, newer, f"consent-{newer.lineage}", CLIENT_SECRET)
    around.pipedrive.alive = {"seed"}

    await around.in_time(around.run())

    assert "newer" == around.stored.consent


def _refreshed(name: str, former: Grant | None = None) -> Grant:
    """Return the successor of a grant, by default of the one that Vault holds at first."""
    spent = former or Grant(refresh_token=SecretValue("seed"))
    return half_refreshed_grant(spent, SecretValue(name))
