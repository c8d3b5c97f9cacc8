"""A refresh has settled a candidate while Pipedrive did not say whose it is: its consent reports what became of it."""

import pytest

from pipedrive_operator.core.grant.candidate import with_candidate
from pipedrive_operator.core.grant.grant import Grant, write_grant
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import RateLimited
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.grants.values import ExchangeOrder
from support.builders import GRANT_LOCATION
from support.exchanges import OTHER_COMPANY, ConsentSurroundings


async def test_the_wrong_account_is_reported_although_a_refresh_has_dropped_the_candidate(
    consent: ConsentSurroundings,
) -> None:
    """The process is the same, and knows why."""
    order = consent.order(company=OTHER_COMPANY, pinned=consent.pipedrive.company)
    await _wait_to_be_verified(consent, order)
    await consent.in_time(consent.run())
    assert consent.candidate is None

    found = await consent.in_time(consent.exchange.conclude(order))

    assert (ConsentReason.WRONG_ACCOUNT, OTHER_COMPANY) == (found.reason, found.account)


async def test_a_candidate_that_a_refresh_has_handed_over_is_not_reported_as_lost(consent: ConsentSurroundings) -> None:
    """A person has written another grant: both are kept, and Pipedrive decides."""
    order = consent.order()
    await _wait_to_be_verified(consent, order)
    patched = write_grant(Grant(refresh_token=SecretValue("patched")), {})
    consent.vault.put(GRANT_LOCATION, **with_candidate(patched, consent.held))
    consent.pipedrive.alive.add("patched")
    await consent.in_time(consent.exchange.settle(order))

    found = await consent.in_time(consent.exchange.conclude(order))

    assert ConsentReason.UNCERTAIN is found.reason
    assert "keeps both" in found.message


async def test_a_candidate_that_a_refresh_has_promoted_is_not_connected_after_a_restore(
    consent: ConsentSurroundings,
) -> None:
    """The backup is from before the exchange, and there is no copy in escrow."""
    backup, order = consent.values, consent.order()
    await _wait_to_be_verified(consent, order)
    await consent.in_time(consent.run())
    assert consent.stored.exchange == order.exchange
    consent.vault.put(GRANT_LOCATION, **backup)

    found = await consent.in_time(consent.exchange.conclude(order))

    assert ConsentReason.UNCERTAIN is found.reason


async def test_the_next_process_does_not_say_that_a_dropped_candidate_is_lost(consent: ConsentSurroundings) -> None:
    """It cannot know what the process that died has found out."""
    order = consent.order(company=OTHER_COMPANY, pinned=consent.pipedrive.company)
    await _wait_to_be_verified(consent, order)
    await consent.in_time(consent.run())
    consent.take_over()

    found = await consent.in_time(consent.exchange.conclude(order))

    assert ConsentReason.UNCERTAIN is found.reason
    assert "may be lost" in found.message


async def _wait_to_be_verified(consent: ConsentSurroundings, order: ExchangeOrder) -> None:
    """Exchange a code while Pipedrive does not say whose the candidate is; afterwards it does."""
    identify = consent.pipedrive.identify_access_token

    async def limit(_: object) -> None:
        raise RateLimited("429")

    consent.pipedrive.identify_access_token = limit  # type: ignore[method-assign,assignment]
    with pytest.raises(RateLimited):
        await consent.in_time(consent.exchange.run(order, consent.claim))
    consent.pipedrive.identify_access_token = identify  # type: ignore[method-assign]
