"""A candidate whose client was replaced in Vault waits for that client: nobody else can use it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import PipedriveUnavailable
from support.builders import CLIENT_SOURCE
from support.exchanges import ConsentSurroundings

CLIENT, ANOTHER = ({"client_id": name, "client_secret": name} for name in ("client", "another"))


@pytest.fixture
def replaced(consent: ConsentSurroundings) -> ConsentSurroundings:
    """Provide an exchange whose client may be replaced: the secret is the name."""
    consent.vault.put(CLIENT_SOURCE.location, **CLIENT)
    return consent


async def test_a_candidate_is_not_sent_with_another_client(replaced: ConsentSurroundings) -> None:
    """Pipedrive would refuse it, and it would count as dead. It is verified as soon as its client is back."""
    order = await replaced.die_with_a_candidate()
    replaced.clock.turn(timedelta(hours=2))
    replaced.vault.put(CLIENT_SOURCE.location, **ANOTHER)

    with pytest.raises(PipedriveUnavailable, match=r"another client than the one at secret/apps/crm-sync in Vault"):
        await replaced.in_time(replaced.exchange.conclude(order))

    assert ["code-1"] == replaced.pipedrive.sent
    replaced.vault.put(CLIENT_SOURCE.location, **CLIENT)
    assert ConsentReason.CONNECTED is (await replaced.in_time(replaced.exchange.conclude(order))).reason


async def test_a_candidate_of_a_replaced_client_makes_room_and_does_not_return(replaced: ConsentSurroundings) -> None:
    """The account is connected again, with the new client. The copy stays in escrow."""
    await replaced.die_with_a_candidate()
    replaced.clock.turn(timedelta(hours=2))
    replaced.vault.put(CLIENT_SOURCE.location, **ANOTHER)
    newer, began = replace(replaced.order(), client_id="another"), replaced.clock.monotonic()

    found = await replaced.in_time(replaced.exchange.run(newer, replaced.claim))

    assert found is not None
    assert ConsentReason.CONNECTED is found.reason
    assert replaced.clock.monotonic() - began < timedelta(minutes=1).total_seconds()
    await replaced.in_time(replaced.run())
    assert (newer.exchange, None) == (replaced.stored.exchange, replaced.candidate)
    assert 1 == len(replaced.cluster.escrow)
