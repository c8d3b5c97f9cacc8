"""An intent whose grant changes after it was read or written: by another holder, a consent, or a restored backup."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant.document import Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.values.errors import ConsentRequired, FenceClosed, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import CLIENT_SOURCE, GRANT_LOCATION
from support.refresh import Surroundings


async def test_a_token_is_not_sent_if_another_holder_has_stored_its_successor_since_the_intent(
    around: Surroundings,
) -> None:
    """This process was stopped between intent and request, and another one stored its result over our intent."""

    def sleep() -> None:
        around.clock.turn(timedelta(seconds=2))
        around.vault.put(
            GRANT_LOCATION, refresh_token="theirs", access_token="theirs", expires_at="2026-03-04T13:00:00Z"
        )

    around.pipedrive.before_fence = sleep
    task = asyncio.create_task(around.run())
    await around.clock.next_sleep()
    around.clock.turn(timedelta(seconds=1))

    assert SecretValue("theirs") == (await task).refresh_token
    assert [] == around.pipedrive.sent


async def test_a_token_is_sent_after_a_while_if_the_intent_stands(around: Surroundings) -> None:
    """The grant is read once more."""
    around.pipedrive.before_fence = lambda: around.clock.turn(timedelta(seconds=2))

    await around.run()

    assert ["seed"] == around.pipedrive.sent
    assert [GRANT_LOCATION, CLIENT_SOURCE.location, GRANT_LOCATION] == around.vault.reads[:3]


@pytest.mark.parametrize(("seconds", "is_sent"), [(4, True), (6, False)])
async def test_a_token_is_not_sent_if_vault_answers_too_slowly_to_be_believed(
    around: Surroundings, seconds: int, *, is_sent: bool
) -> None:
    """Another holder may have stored its result while the answer was on its way."""
    read = around.vault.read

    async def slow_read(location: VaultLocation, identity: VaultIdentity) -> Document | None:
        around.clock.turn(timedelta(seconds=seconds))
        return await read(location, identity)

    def slow_down() -> None:
        around.clock.turn(timedelta(seconds=2))
        around.vault.read = slow_read  # type: ignore[method-assign]

    around.pipedrive.before_fence = slow_down

    with suppress(FenceClosed):
        await around.run()

    assert (["seed"] if is_sent else []) == around.pipedrive.sent


async def test_a_token_is_not_sent_if_vault_cannot_be_read_after_a_while(around: Surroundings) -> None:
    """Whether the token is spent is unknown. The intent counts as ours, and nothing as unanswered."""

    def seal() -> None:
        around.clock.turn(timedelta(seconds=2))
        around.vault.breaks = VaultUnavailable("sealed")

    around.pipedrive.before_fence = seal
    with pytest.raises(VaultUnavailable):
        await around.run()
    around.vault.breaks, around.pipedrive.before_fence = None, lambda: None
    around.pipedrive.breaks = ConsentRequired("invalid_grant")

    with pytest.raises(ConsentRequired) as caught:
        await around.run()

    assert "went unanswered" not in caught.value.message


async def test_an_intent_that_was_never_acknowledged_is_no_unanswered_refresh(around: Surroundings) -> None:
    """It landed, but Vault was away before this could be seen. Nothing was sent, so it is the cause of nothing."""
    around.vault.breaks_after, around.vault.mends_after = 0, 1
    around.vault.loses_acknowledgements = True
    around.vault.on_loss = lambda: setattr(around.vault, "breaks", VaultUnavailable("Vault is sealed"))
    with pytest.raises(VaultUnavailable):
        await around.run()
    around.vault.breaks = None
    assert around.stored.intent is not None
    around.pipedrive.alive = set()

    with pytest.raises(ConsentRequired) as caught:
        await around.run()

    assert ["seed"] == around.pipedrive.sent
    assert "went unanswered" not in caught.value.message


async def test_a_patched_consent_is_not_taken_for_our_intent_after_a_lost_acknowledgement(
    around: Surroundings,
) -> None:
    """`vault kv patch` keeps our marks. The former token is dead, and the consent must stay."""
    around.vault.breaks_after, around.vault.mends_after = 0, 1
    around.vault.loses_acknowledgements = True
    around.vault.on_loss = lambda: _patch(around, refresh_token="consented")
    around.pipedrive.alive = {"consented"}

    with pytest.raises(VaultUnavailable):
        await around.run()
    assert ([], "consented") == (around.pipedrive.sent, around.stored.refresh_token.reveal())

    await around.run()
    assert ["consented"] == around.pipedrive.sent


async def test_another_intent_of_ours_is_not_taken_for_the_one_whose_acknowledgement_was_lost(
    around: Surroundings,
) -> None:
    """It is left over from an earlier refresh: the write did not take effect."""
    marks = {"refresh_id": "us-0", "refresh_holder": "us", "refresh_timeout": "32s"}
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **marks)
    around.vault.breaks_after, around.vault.mends_after = 0, 1

    with pytest.raises(VaultUnavailable):
        await around.run()

    assert [] == around.pipedrive.sent


async def test_a_patched_consent_with_another_app_is_not_refused(around: Surroundings) -> None:
    """The client id of the former grant stays in the document."""
    await around.run()
    assert "client" == around.stored.client_id
    _patch(around, refresh_token="consented")
    around.vault.put(CLIENT_SOURCE.location, client_id="another-app", client_secret="hush")
    around.pipedrive.alive.add("consented")

    grant = await around.run()

    assert "another-app" == grant.client_id
    assert SecretValue("consented").digest() == grant.refreshed_from


async def test_a_consent_is_not_overwritten_by_an_intent_with_the_same_version_number(around: Surroundings) -> None:
    """Vault was restored while the client was read, and a consent has the version number that was read."""
    read = around.vault.read

    async def slow_read(location: VaultLocation, identity: VaultIdentity) -> Document | None:
        if location == CLIENT_SOURCE.location and not around.pipedrive.sent:
            around.clock.turn(timedelta(seconds=2))
            before = around.vault.documents[GRANT_LOCATION]
            around.vault.documents[GRANT_LOCATION] = replace(before, values={"refresh_token": "consented"})
        return await read(location, identity)

    around.vault.read = slow_read  # type: ignore[method-assign]
    around.pipedrive.alive = {"consented"}
    task = asyncio.create_task(around.run())
    await around.clock.next_sleep()
    around.vault.read = read  # type: ignore[method-assign]
    around.clock.turn(timedelta(seconds=1))
    await task

    assert ["consented"] == around.pipedrive.sent


def _patch(around: Surroundings, **values: object) -> None:
    """Change some keys of the grant, as `vault kv patch` does."""
    around.vault.put(GRANT_LOCATION, **(dict(around.vault.documents[GRANT_LOCATION].values) | values))
