"""The copy of a candidate that was set aside neither outlives its candidate nor holds up anything else."""

from dataclasses import replace
from datetime import timedelta

import pytest

from fakes.escrow import build_escrow
from pipedrive_operator.core.grant.grant import TokenResponse
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import RateLimited
from support.builders import CLIENT_SOURCE
from support.exchanges import ConsentSurroundings, say_nothing_about


async def test_a_candidate_that_stayed_in_vault_and_was_renewed_is_not_sent_again(consent: ConsentSurroundings) -> None:
    """The write that sets it aside failed; it was settled after all, and then a newer consent replaced it."""
    await consent.die_with_a_candidate()
    spent = consent.held.refresh_token.reveal()
    consent.clock.turn(timedelta(hours=2))
    refresh = consent.pipedrive.refresh

    async def fail_twice(*_: object, **__: object) -> TokenResponse:
        consent.pipedrive.refresh = refresh  # type: ignore[method-assign]
        consent.vault.breaks_after = len(consent.vault.writes) + 1  # the intent is removed, and the candidate is not
        consent.vault.mends_after = len(consent.vault.writes) + 2
        raise RateLimited("429")

    consent.pipedrive.refresh = fail_twice  # type: ignore[method-assign]
    newer = replace(consent.order(), consent="newer")
    found = await consent.in_time(consent.exchange.run(newer, consent.claim))
    assert found is not None
    assert ConsentReason.CONNECTED is found.reason
    consent.escrow = build_escrow(consent.cluster)
    consent.take_over()
    await consent.escrow.load()

    await consent.in_time(consent.run())

    assert 1 == consent.pipedrive.sent.count(spent)


@pytest.mark.parametrize(
    ("is_lost", "reason"),
    [
        pytest.param(True, ConsentReason.UNCERTAIN, id="an exchange whose process died before the first copy"),
        pytest.param(False, ConsentReason.CONNECTED, id="a candidate whose access token has expired"),
    ],
)
async def test_a_copy_aside_that_cannot_be_decrypted_stops_no_other_consent(
    consent: ConsentSurroundings, *, is_lost: bool, reason: ConsentReason
) -> None:
    """The client secret was changed since."""
    await consent.die_with_a_candidate()
    say_nothing_about(consent.pipedrive, consent.held, RateLimited("429"))
    assert ConsentReason.CONNECTED is await consent.in_time(consent.connect())
    consent.vault.put(CLIENT_SOURCE.location, client_id="client", client_secret="changed")
    order = consent.order() if is_lost else await consent.die_with_a_candidate()
    consent.clock.turn(timedelta(hours=2))

    found = await consent.in_time(consent.exchange.conclude(order))

    assert (reason, 1) == (found.reason, len(consent.cluster.escrow))
