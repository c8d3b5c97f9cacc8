"""The grant of a consent whose client was replaced in Vault waits for that client: nobody else can use it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    ClientRejected,
    ConsentRequired,
    InvalidSpec,
    PipedriveUnavailable,
    RateLimited,
    Trouble,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import CLIENT_SOURCE, GRANT_LOCATION, access_token
from support.exchanges import ConsentSurroundings, say_nothing_about
from support.refresh import ORDER

CLIENT, ANOTHER = ({"client_id": name, "client_secret": "hush"} for name in ("client", "another"))


async def test_a_candidate_of_another_client_does_not_keep_the_grant_from_being_refreshed(
    consent: ConsentSurroundings,
) -> None:
    """It is neither sent nor verified: the client may be put back."""
    order = await consent.die_with_a_candidate()
    consent.vault.put(CLIENT_SOURCE.location, **ANOTHER)

    held = await consent.in_time(consent.run())
    assert ["code-1", "seed"] == consent.pipedrive.sent
    assert held == await consent.in_time(consent.run())
    assert ["code-1", "seed"] == consent.pipedrive.sent

    consent.vault.put(CLIENT_SOURCE.location, **CLIENT)
    assert ConsentReason.CONNECTED is (await consent.in_time(consent.exchange.conclude(order))).reason


async def test_a_consent_whose_client_was_replaced_ends(consent: ConsentSurroundings) -> None:
    """Its status says why, and nothing is left of it."""
    order = await consent.die_with_a_candidate()
    consent.vault.put(CLIENT_SOURCE.location, **ANOTHER)

    found = await consent.in_time(consent.exchange.conclude(order))

    assert ConsentReason.CREDENTIAL_CHANGED is found.reason
    assert found.message.startswith("The client at secret/apps/crm-sync in Vault was replaced")
    assert (None, ["code-1"]) == (consent.candidate, consent.pipedrive.sent)


async def test_a_consent_whose_result_is_lost_ends_beside_a_candidate_of_another_client(
    consent: ConsentSurroundings,
) -> None:
    """Its process died before the first copy."""
    await consent.die_with_a_candidate()
    consent.vault.put(CLIENT_SOURCE.location, **ANOTHER)

    found = await consent.in_time(consent.exchange.conclude(replace(consent.order(), client_id="another")))

    assert ConsentReason.UNCERTAIN is found.reason
    assert consent.candidate is not None


async def test_a_newer_consent_for_the_new_client_takes_the_place_of_an_older_one(consent: ConsentSurroundings) -> None:
    """Nothing of the older one returns."""
    await consent.die_with_a_candidate()
    consent.vault.put(CLIENT_SOURCE.location, **ANOTHER)
    newer = replace(consent.order(), client_id="another")

    found = await consent.in_time(consent.exchange.run(newer, consent.claim))

    assert found is not None
    assert ConsentReason.CONNECTED is found.reason
    assert (newer.exchange, None) == (consent.stored.exchange, consent.candidate)
    assert not consent.cluster.escrow


async def test_the_first_grant_of_a_replaced_client_is_named(consent: ConsentSurroundings) -> None:
    """There is no other grant to use."""
    del consent.vault.documents[GRANT_LOCATION]
    await consent.die_with_a_candidate()
    consent.vault.put(CLIENT_SOURCE.location, **ANOTHER)

    with pytest.raises(InvalidSpec, match=r"^spec\.oauth2\.client: the grant of a consent was issued to anoth"):
        await consent.in_time(consent.run())


@pytest.mark.parametrize("is_aside", [False, True])
async def test_a_refused_grant_needs_a_person_although_a_grant_of_another_client_waits(
    consent: ConsentSurroundings, *, is_aside: bool
) -> None:
    """It waits beside the refused one, or in escrow since a newer consent."""
    await consent.die_with_a_candidate()
    if is_aside:
        say_nothing_about(consent.pipedrive, consent.held, RateLimited("429"))
        await consent.in_time(consent.connect())
    consent.vault.put(CLIENT_SOURCE.location, **ANOTHER)
    values = {key: value for key, value in consent.values.items() if key != "client_id"}
    consent.vault.put(GRANT_LOCATION, **values)
    consent.pipedrive.alive.clear()

    with pytest.raises(ConsentRequired):
        await consent.in_time(consent.run(replace(ORDER, replaces=consent.stored.access_digest)))

    assert 1 == consent.pipedrive.sent.count(consent.stored.refresh_token.reveal())


async def test_a_refused_token_is_not_sent_again_and_again_while_a_copy_waits_for_another_client(
    consent: ConsentSurroundings,
) -> None:
    """A candidate of the former client is in its place. The copy takes it once that candidate was dropped."""
    order = await consent.die_with_a_candidate()
    consent.vault.put(CLIENT_SOURCE.location, **ANOTHER)
    theirs = replace(consent.held, client_id="another", terms=consent.terms_of_another(), token=access_token("theirs"))
    theirs = replace(theirs, refresh_token=SecretValue("theirs"))
    await consent.escrow.keep(GRANT_LOCATION, theirs, "them-0", SecretValue("hush"))
    consent.pipedrive.accounts["theirs"] = consent.pipedrive.company
    consent.pipedrive.alive = {"theirs"}

    with pytest.raises(PipedriveUnavailable, match="The grant of a newer consent waits in escrow"):
        await consent.in_time(consent.run())

    assert ["code-1", "seed"] == consent.pipedrive.sent
    assert ConsentReason.CREDENTIAL_CHANGED is (await consent.in_time(consent.exchange.conclude(order))).reason
    await consent.in_time(consent.run())
    assert theirs.lineage == consent.stored.lineage


@pytest.mark.parametrize("rotates", [True, False])
@pytest.mark.parametrize("how", ["requested refresh", "consent"])
async def test_a_client_that_works_again_is_not_reported_as_rejected(
    consent: ConsentSurroundings, how: str, *, rotates: bool
) -> None:
    """Its app was repaired at Pipedrive: nothing in Vault has changed."""
    order = replace(ORDER, slow=timedelta(hours=4))
    consent.pipedrive.rotates, consent.pipedrive.breaks = rotates, ClientRejected("invalid_client")
    with pytest.raises(ClientRejected):
        await consent.in_time(consent.run(order))
    consent.pipedrive.breaks = None
    if how == "consent":
        assert ConsentReason.CONNECTED is await consent.in_time(consent.connect())
    else:
        await consent.in_time(consent.run(replace(order, is_requested=True)))
    former = consent.stored

    await consent.in_time(consent.run(replace(order, replaces=former.access_digest)))

    assert former.access_digest != consent.stored.access_digest


@pytest.mark.parametrize("trouble", [RateLimited("429"), PipedriveUnavailable("503"), AccountNotOpen("402")])
async def test_a_rejection_is_forgotten_by_a_requested_refresh_that_has_another_answer(
    consent: ConsentSurroundings, trouble: Trouble
) -> None:
    """The app was repaired at Pipedrive. The next attempt, which is owed to the request, is made."""
    order = replace(ORDER, slow=timedelta(hours=4))
    for breaks, is_requested in ((ClientRejected("invalid_client"), False), (trouble, True)):
        consent.pipedrive.breaks = breaks
        with pytest.raises(type(breaks)):
            await consent.in_time(consent.run(replace(order, is_requested=is_requested)))
    consent.pipedrive.breaks = None

    await consent.in_time(consent.run(order))

    assert ["seed"] * 3 == consent.pipedrive.sent
