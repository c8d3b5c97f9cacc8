"""A grant of another company never becomes the grant, although nothing was known about the account at first."""

from dataclasses import replace

import pytest

from pipedrive_operator.core.grant.grant import half_refreshed_grant, write_grant
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import ConsentRequired, RateLimited
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import ACCOUNT, GRANT_LOCATION
from support.exchanges import OTHER_COMPANY, ConsentSurroundings, say_nothing_about


async def test_an_older_answer_for_another_company_is_dropped_after_a_newer_one_was_connected(
    consent: ConsentSurroundings,
) -> None:
    """Pipedrive said nothing about the older one, and no account was pinned when its code was sent."""
    del consent.vault.documents[GRANT_LOCATION]
    older = await consent.die_with_a_candidate(company=OTHER_COMPANY)
    decide = say_nothing_about(consent.pipedrive, consent.held, RateLimited("429"))
    assert ConsentReason.CONNECTED is await consent.in_time(consent.connect(company=ACCOUNT))
    consent.pipedrive.identify_access_token = decide  # type: ignore[method-assign,assignment]

    found = await consent.in_time(consent.exchange.conclude(older))

    assert ConsentReason.WRONG_ACCOUNT is found.reason
    assert "but the credential belongs to company acme (id 12)" in found.message
    assert (ACCOUNT, []) == (consent.stored.account, list(consent.cluster.escrow))


async def test_a_copy_of_another_company_does_not_replace_a_refused_grant(consent: ConsentSurroundings) -> None:
    """A consent has changed the company while the former grant was refreshed."""
    connected = replace(consent.stored, account=ACCOUNT)
    consent.vault.put(GRANT_LOCATION, **write_grant(connected, {}))
    former = half_refreshed_grant(replace(connected, account=OTHER_COMPANY), SecretValue("former"))
    copy = replace(former, refreshed_from=SecretValue("before").digest(), first_refreshed_from=None)
    await consent.escrow.keep(GRANT_LOCATION, copy, "them-1", SecretValue("hush"))
    consent.pipedrive.alive = {"former"}

    with pytest.raises(ConsentRequired):
        await consent.in_time(consent.run())

    assert (ACCOUNT, 1) == (consent.stored.account, len(consent.cluster.escrow))
