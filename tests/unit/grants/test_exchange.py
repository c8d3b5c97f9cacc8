"""The exchange of a code: nothing is lost, the grant that works stays until the new one is verified."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from pipedrive_operator.core.grant.intent import Intent, write_marks
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    ClientRejected,
    FenceClosed,
    PipedriveUnavailable,
    RateLimited,
    VaultDenied,
    VaultUnavailable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import ACCOUNT, CLIENT_SOURCE, GRANT_LOCATION, NOW
from support.exchanges import CONSENT, OTHER_COMPANY, ConsentSurroundings


@pytest.fixture
def around() -> ConsentSurroundings:
    """Provide an exchange with a grant in Vault, in a healthy state."""
    made = ConsentSurroundings()
    made.vault.put(GRANT_LOCATION, refresh_token="seed", refreshed_from="of old", note="ours to keep")
    return made


async def test_a_consent_replaces_a_living_grant_and_keeps_foreign_keys(around: ConsentSurroundings) -> None:
    """The new grant names the account, for other clusters, and keeps nothing of the former grant."""
    assert await around.connect() is ConsentReason.CONNECTED

    assert {
        "refresh_token": "refresh-2",
        "access_token": "access-2",
        "client_id": "client",
        "consent_uid": CONSENT,
        "company_id": "12",
        "company_domain": "acme",
        "user_id": "34",
        "note": "ours to keep",
    }.items() <= around.values.items()
    assert not {key for key in around.values if key.startswith(("refresh_id", "consent_candidate", "refreshed"))}
    assert [CONSENT] == around.claims
    assert ["code-1"] == around.pipedrive.sent


async def test_a_first_consent_needs_no_document(around: ConsentSurroundings) -> None:
    """The path was never written."""
    del around.vault.documents[GRANT_LOCATION]

    assert await around.connect() is ConsentReason.CONNECTED

    assert SecretValue("refresh-2") == around.stored.refresh_token
    assert around.stored.account == ACCOUNT


@pytest.mark.parametrize(
    ("order", "company", "reason"),
    [
        pytest.param({}, OTHER_COMPANY, ConsentReason.CONNECTED, id="nothing is known"),
        pytest.param({"pinned": ACCOUNT}, ACCOUNT, ConsentReason.CONNECTED, id="the pinned company"),
        pytest.param({"pinned": ACCOUNT}, OTHER_COMPANY, ConsentReason.WRONG_ACCOUNT, id="another than the pinned one"),
        pytest.param(
            {"pinned": ACCOUNT, "allows_change": True}, OTHER_COMPANY, ConsentReason.CONNECTED, id="a change is allowed"
        ),
        pytest.param(
            {"guard": AccountGuard(company_id=12), "allows_change": True},
            OTHER_COMPANY,
            ConsentReason.WRONG_ACCOUNT,
            id="the guard stays",
        ),
        pytest.param(
            {"guard": AccountGuard(user_id=1)}, ACCOUNT, ConsentReason.WRONG_ACCOUNT, id="another user than the guard's"
        ),
        pytest.param(
            {"guard": AccountGuard(company_domain="other"), "pinned": ACCOUNT},
            OTHER_COMPANY,
            ConsentReason.CONNECTED,
            id="the guard was edited",
        ),
    ],
)
async def test_guard_and_pin_decide_whose_grant_it_may_be(
    around: ConsentSurroundings, order: dict[str, Any], company: Account, reason: ConsentReason
) -> None:
    """A grant of the wrong account changes nothing at all, and is not revoked."""
    before = around.values

    assert await around.connect(company=company, **order) is reason

    assert (before == around.values) is (reason is ConsentReason.WRONG_ACCOUNT)
    assert "refresh-2" in around.pipedrive.alive


async def test_the_wrong_account_is_named_with_the_expected_one(around: ConsentSurroundings) -> None:
    """The page shows both."""
    found = await around.exchange.run(around.order(company=OTHER_COMPANY, pinned=ACCOUNT), around.claim)

    assert found is not None
    assert found.account == OTHER_COMPANY
    assert "other (id 99, user 7)" in found.message
    assert "company acme (id 12)" in found.message


async def test_the_document_pins_the_company_for_other_clusters(around: ConsentSurroundings) -> None:
    """A credential of another cluster has no status that would."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", company_id="12", company_domain="acme", user_id="34")

    assert await around.connect(company=OTHER_COMPANY) is ConsentReason.WRONG_ACCOUNT


async def test_the_first_copy_is_acknowledged_before_pipedrive_is_asked(around: ConsentSurroundings) -> None:
    """It takes another call to learn the account, and the process may die during that call."""
    seen: list[str] = []
    identify = around.pipedrive.identify_access_token

    async def look(token: Token) -> Account:
        assert around.candidate is not None
        seen.append(around.candidate.refresh_token.reveal())
        assert "seed" == around.values["refresh_token"]
        return await identify(token)

    around.pipedrive.identify_access_token = look  # type: ignore[method-assign]

    await around.connect()

    assert ["refresh-2"] == seen


@pytest.mark.parametrize("sends", [1, 2], ids=["of the code", "of the candidate"])
async def test_the_lifetime_of_a_new_token_is_counted_from_the_request(around: ConsentSurroundings, sends: int) -> None:
    """With the answer to a code, only the refresh token of the candidate may be usable: it is then sent as well."""
    sent_at: list[datetime] = []

    def send_slowly() -> None:
        sent_at.append(around.clock.now())
        around.clock.turn(timedelta(seconds=2))
        around.pipedrive.spoils_answers = len(sent_at) < sends

    around.pipedrive.before_fence = send_slowly

    assert await around.in_time(around.connect()) is ConsentReason.CONNECTED

    assert sends == len(sent_at)
    assert around.stored.token is not None
    assert sent_at[-1] + around.pipedrive.lifetime == around.stored.token.expires_at


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [
        pytest.param(ClientRejected("no such client"), ConsentReason.CLIENT_REJECTED, id="client"),
        pytest.param(AccountNotOpen("402"), ConsentReason.UNCERTAIN, id="402"),
        pytest.param(RateLimited("429"), ConsentReason.UNCERTAIN, id="429"),
        pytest.param(PipedriveUnavailable("away"), ConsentReason.UNCERTAIN, id="away"),
    ],
)
async def test_a_refused_code_changes_nothing_and_is_not_sent_again(
    around: ConsentSurroundings, breaks: Exception, reason: ConsentReason
) -> None:
    """The person opens the link again."""
    before = around.values
    around.pipedrive.breaks = breaks

    assert await around.connect() is reason

    assert before == around.values
    assert ["code-1"] == around.pipedrive.sent


async def test_a_code_that_was_used_is_refused(around: ConsentSurroundings) -> None:
    """Pipedrive takes it once."""
    order = around.order()
    around.pipedrive.codes.clear()

    found = await around.exchange.run(order, around.claim)

    assert found is not None
    assert ConsentReason.CODE_REFUSED is found.reason


async def test_a_lost_answer_is_uncertain_and_counts_no_refresh(around: ConsentSurroundings) -> None:
    """The exchange did not spend the refresh token in Vault, so it cannot be the cause of a later refusal."""
    before = around.values
    around.pipedrive.network.loses_answers = 1.0

    assert await around.connect() is ConsentReason.UNCERTAIN

    assert before == around.values
    assert ["code-1"] == around.pipedrive.sent


async def test_a_consent_that_changed_is_not_exchanged(around: ConsentSurroundings) -> None:
    """It cannot be claimed, because a person has changed or deleted it."""
    before, around.is_claimable = around.values, False

    assert await around.connect() is None

    assert before == around.values
    assert [] == around.pipedrive.sent


async def test_a_client_that_was_replaced_is_not_sent_the_code(around: ConsentSurroundings) -> None:
    """The code belongs to the client that the person has authorized."""
    order = around.order()
    around.vault.put(CLIENT_SOURCE.location, client_id="another", client_secret="hush")

    found = await around.exchange.run(order, around.claim)

    assert found is not None
    assert ConsentReason.CREDENTIAL_CHANGED is found.reason
    assert [] == around.pipedrive.sent


async def test_nothing_is_sent_while_vault_cannot_be_written(around: ConsentSurroundings) -> None:
    """It is tried for as long as the code is usable."""
    trouble = around.vault.breaks = VaultUnavailable("Vault is sealed")
    order = around.order()

    found = await around.in_time(around.exchange.run(order, around.claim))

    assert found is not None
    assert ConsentReason.CODE_EXPIRED is found.reason
    assert trouble.message in found.message
    assert [] == around.pipedrive.sent
    assert 240 <= around.clock.monotonic() < 300


async def test_a_denial_ends_an_exchange_at_once(around: ConsentSurroundings) -> None:
    """A tenant can name any path for an identity of its own, and must not occupy the grant for minutes."""
    around.vault.breaks = VaultDenied("no update on the path")

    found = await around.exchange.run(around.order(), around.claim)

    assert found is not None
    assert ConsentReason.CODE_EXPIRED is found.reason
    assert "no update on the path" in found.message
    assert [] == around.pipedrive.sent
    assert 0 == around.clock.monotonic()


async def test_an_exchange_that_waits_for_vault_does_not_delay_the_end_of_the_process(
    around: ConsentSurroundings,
) -> None:
    """The Lease is held until all exchanges have ended, and a tenant can remove its client's document at any time."""
    del around.vault.documents[CLIENT_SOURCE.location]
    task = asyncio.create_task(around.exchange.run(around.order(), around.claim))
    await around.clock.somebody_sleeps.wait()
    around.protocol.stop_sending()

    with pytest.raises(FenceClosed):
        await around.in_time(task)

    assert around.clock.monotonic() <= 4


async def test_a_vault_that_returns_in_time_costs_no_code(around: ConsentSurroundings) -> None:
    """The code was not sent yet."""
    around.vault.breaks = VaultUnavailable("Vault is sealed")
    task = asyncio.create_task(around.exchange.run(around.order(), around.claim))
    await around.clock.somebody_sleeps.wait()
    around.vault.breaks = None

    found = await around.in_time(task)

    assert found is not None
    assert ConsentReason.CONNECTED is found.reason


async def test_a_result_that_vault_does_not_store_is_in_escrow_and_completed_by_the_next_process(
    around: ConsentSurroundings,
) -> None:
    """Vault was sealed between the intent and the result, and the process died."""
    order = around.order()
    await around.seal_in_the_middle(order)
    assert around.candidate is None
    around.take_over()
    await around.escrow.load()

    found = await around.in_time(around.exchange.conclude(order))

    assert ConsentReason.CONNECTED is found.reason
    assert SecretValue("refresh-2") == around.stored.refresh_token
    assert {} == around.cluster.escrow
    assert ["code-1"] == around.pipedrive.sent


async def test_a_first_result_in_escrow_is_found_although_the_path_is_empty(around: ConsentSurroundings) -> None:
    """A refresh of the credential finds it, too."""
    del around.vault.documents[GRANT_LOCATION]
    order = around.order()
    await around.seal_in_the_middle(order)
    around.vault.documents.clear()
    around.vault.put(CLIENT_SOURCE.location, client_id="client", client_secret="hush")
    around.take_over()
    await around.escrow.load()

    grant = await around.in_time(around.run())

    assert SecretValue("refresh-2") == grant.refresh_token
    assert around.stored.consent == CONSENT


async def test_another_holders_intent_is_waited_for(around: ConsentSurroundings) -> None:
    """A refresh by another cluster is in progress: nobody may overwrite its result or spend its token."""
    intent = Intent(refresh_id="theirs-1", holder="theirs", started_at=NOW, timeout=timedelta(seconds=30))
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **write_marks(intent, None))
    task = asyncio.create_task(around.exchange.run(around.order(), around.claim))
    await around.clock.somebody_sleeps.wait()
    assert [] == around.pipedrive.sent
    around.vault.put(GRANT_LOCATION, refresh_token="theirs")

    found = await around.in_time(task)

    assert found is not None
    assert ConsentReason.CONNECTED is found.reason
    assert around.clock.monotonic() < 30


async def test_two_first_consents_at_once_lose_no_grant(around: ConsentSurroundings) -> None:
    """Another cluster has written its first grant to the empty path after we read it: neither overwrites the other."""
    del around.vault.documents[GRANT_LOCATION]
    task = await around.begin_exchange()
    around.vault.put(GRANT_LOCATION, refresh_token="theirs", access_token="x", consent_uid="another")
    around.pipedrive.answer()

    found = await around.in_time(task)

    assert found is not None
    assert SecretValue("theirs") == around.stored.refresh_token
    assert 1 == len(around.cluster.escrow)
    assert ConsentReason.UNCERTAIN is found.reason
    assert "keeps both" in found.message
