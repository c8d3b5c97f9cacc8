"""The policy: each test changes one thing in an observation with nothing to do, and checks the decision."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.decision.decision import Action
from pipedrive_operator.core.decision.observation import Observation, Requested
from pipedrive_operator.core.decision.policy import decide
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.token import Verification
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.values.conditions import Reason
from pipedrive_operator.core.values.errors import (
    ConsentRequired,
    GrantUnstored,
    InvalidSpec,
    PipedriveUnavailable,
    TokenRejected,
    VaultUnavailable,
)
from support.builders import (
    ACCOUNT,
    GRANT_SOURCE,
    NOW,
    access_token,
    api_token,
    api_token_up_to_date,
    changed,
    grant,
    oauth2_up_to_date,
)
from support.decisions import SOON, decision, failure


@pytest.mark.parametrize("seen", [api_token_up_to_date(), oauth2_up_to_date()], ids=["API token", "OAuth2"])
def test_nothing_to_do_waits(seen: Observation) -> None:
    """If everything is in place, the policy waits until the next thing is due."""
    found = decision(seen)

    assert (Action.WAIT, Reason.PUBLISHED) == (found.action, found.reason)
    assert found.until == seen.poll_at
    assert seen.poll_at is not None
    assert NOW + timedelta(minutes=4, seconds=30) <= seen.poll_at <= NOW + timedelta(minutes=5)


def test_a_credential_being_deleted_is_left_alone() -> None:
    """Deletion comes before everything: nothing is repaired, refreshed or reported."""
    seen = oauth2_up_to_date()
    going = changed(seen, credential=replace(seen.credential, being_deleted=True), target=None)

    assert decide(going) is None


def test_a_namespace_being_deleted_is_left_alone() -> None:
    """Nothing can be created in it any more."""
    assert decide(changed(api_token_up_to_date(), namespace_is_terminating=True, target=None)) is None


def test_a_suspended_credential_is_not_repaired() -> None:
    """Suspension stops writes of the Secret and outside calls until the resource changes."""
    seen = api_token_up_to_date()
    spec = replace(seen.credential.spec, suspend=True)

    found = decision(changed(seen, credential=replace(seen.credential, spec=spec), target=None))

    assert (Action.WAIT, Reason.SUSPENDED, None) == (found.action, found.reason, found.until)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_suspended_credential_is_looked_at_when_its_value_expires(*, is_restarted: bool) -> None:
    """It is not ready then. After a restart, the status knows the time."""
    seen = oauth2_up_to_date()
    expiry = access_token().expires_at
    status = replace(seen.credential.status, expires_at=expiry)
    credential = replace(seen.credential, spec=replace(seen.credential.spec, suspend=True), status=status)
    memory: dict[str, Any] = {"accepted": None} if is_restarted else {}

    assert expiry == decision(changed(seen, credential=credential, **memory)).until


def test_an_invalid_spec_is_looked_at_again_at_each_interval() -> None:
    """Another user of the same grant may be the cause, and nothing announces that this has ended."""
    seen = api_token_up_to_date()

    found = decision(changed(seen, problem=InvalidSpec("spec.vault.mount: no such mount")))

    assert (Action.WAIT, Reason.INVALID_SPEC) == (found.action, found.reason)
    assert found.until == NOW + seen.timings.poll_interval


@pytest.mark.parametrize("seen", [api_token_up_to_date(), oauth2_up_to_date()], ids=["API token", "OAuth2"])
def test_a_missing_secret_is_published(seen: Observation) -> None:
    """A deleted Secret is created again from memory."""
    assert decision(changed(seen, target=None)).action is Action.PUBLISH


def test_a_missing_secret_is_published_while_vault_is_unavailable() -> None:
    """A repair needs only what is in memory."""
    sealed = failure(VaultUnavailable("Vault is sealed"), "source")

    found = decision(changed(api_token_up_to_date(), source_failure=sealed, target=None))

    assert found.action is Action.PUBLISH


def test_an_edited_secret_is_published_again() -> None:
    """Drift of one of our keys is repaired."""
    seen = api_token_up_to_date()
    assert seen.target is not None
    edited = replace(seen.target, data={**seen.target.data, "api_token": "aGFuZC1lZGl0ZWQ="})

    assert decision(changed(seen, target=edited)).action is Action.PUBLISH


def test_a_foreign_key_is_no_drift() -> None:
    """Foreign keys, labels and annotations are left unchanged."""
    seen = api_token_up_to_date()
    assert seen.target is not None
    shared = replace(
        seen.target,
        data={**seen.target.data, "theirs": "eA=="},
        labels={**seen.target.labels, "team": "crm"},
        annotations={**seen.target.annotations, "theirs": "x"},
    )

    assert decision(changed(seen, target=shared)).action is Action.WAIT


def test_an_expired_value_is_not_published() -> None:
    """An expired token is refreshed instead of published again."""
    seen = oauth2_up_to_date()

    assert decision(changed(seen, target=None, now=NOW + timedelta(hours=1))).action is Action.REFRESH


def test_a_rejected_value_is_not_published() -> None:
    """A token that Pipedrive has rejected is not written to the Secret again."""
    seen = api_token_up_to_date()
    refusal = TokenRejected("Pipedrive refused the token")
    refused = changed(
        seen,
        target=None,
        accepted_was_rejected=True,
        verification=Verification(token=api_token(), at=NOW, trouble=refusal),
        verify_failure=failure(refusal, api_token().value.digest()),
    )

    found = decision(refused)

    assert (Action.WAIT, Reason.TOKEN_REJECTED, SOON) == (found.action, found.reason, found.until)


def test_an_unknown_value_is_verified_before_it_is_published() -> None:
    """A new value in Vault is verified at once."""
    new = api_token("b" * 40)

    found = decision(changed(api_token_up_to_date(), token=new))

    assert (Action.VERIFY, new) == (found.action, found.token)


def test_a_rejected_new_value_leaves_the_accepted_one_published() -> None:
    """The old value is still repaired while the new one is rejected."""
    new, seen = api_token("b" * 40), api_token_up_to_date()
    refusal = TokenRejected("Pipedrive refused the token")
    refused = changed(
        seen,
        token=new,
        verification=Verification(token=new, at=NOW, trouble=refusal),
        verify_failure=failure(refusal, new.value.digest()),
    )

    assert decision(refused).reason is Reason.TOKEN_REJECTED
    assert decision(changed(refused, target=None)).action is Action.PUBLISH


def test_a_value_is_verified_again_after_the_interval() -> None:
    """Acceptance ends with the interval."""
    seen = api_token_up_to_date()

    assert (
        decision(changed(seen, now=NOW + timedelta(hours=1), read_at=NOW + timedelta(hours=1))).action is Action.VERIFY
    )


def test_a_requested_check_verifies_at_once() -> None:
    """The annotation makes a verification due."""
    assert decision(changed(api_token_up_to_date(), requested=Requested.CHECK)).action is Action.VERIFY


def test_a_requested_check_waits_out_a_pause() -> None:
    """A request does not override Pipedrive's Retry-After."""
    seen = changed(
        api_token_up_to_date(),
        requested=Requested.CHECK,
        verify_failure=failure(PipedriveUnavailable("503"), api_token().value.digest()),
    )

    found = decision(seen)

    assert (Action.WAIT, Reason.PIPEDRIVE_UNAVAILABLE, SOON) == (found.action, found.reason, found.until)


def test_an_unavailable_vault_waits_for_its_retry() -> None:
    """The Secret stays; the wait ends when Vault may be read again."""
    found = decision(changed(api_token_up_to_date(), source_failure=failure(VaultUnavailable("sealed"), "source")))

    assert (Action.WAIT, Reason.VAULT_UNAVAILABLE, SOON) == (found.action, found.reason, found.until)


def test_the_renewal_time_refreshes() -> None:
    """A third of the lifetime is left."""
    seen = oauth2_up_to_date()
    assert seen.renewal is not None

    assert decision(changed(seen, now=seen.renewal.at - timedelta(seconds=1))).action is Action.WAIT
    assert decision(changed(seen, now=seen.renewal.at)).action is Action.REFRESH


def test_a_wait_ends_at_the_renewal_time() -> None:
    """The credential wakes for its refresh without an event."""
    seen = changed(oauth2_up_to_date(renewBefore="58m"), now=NOW + timedelta(minutes=1))
    assert seen.renewal is not None

    found = decision(changed(seen, read_at=NOW + timedelta(minutes=29)))

    assert found.until == seen.renewal.at


def test_a_seeded_refresh_token_is_refreshed() -> None:
    """A grant without an access token gets one."""
    assert decision(changed(oauth2_up_to_date(), grant=grant(token=None), token=None)).action is Action.REFRESH


def test_a_missing_grant_waits_for_a_person() -> None:
    """A grant that does not exist yet is no failure."""
    nothing = {"grant": None, "token": None, "accepted": None, "verification": None, "target": None}
    found = decision(changed(oauth2_up_to_date(), source=GRANT_SOURCE, **nothing))

    assert (Action.WAIT, Reason.GRANT_MISSING) == (found.action, found.reason)
    assert "vault kv put -mount=secret pipedrive/crm/acme refresh_token=-" in found.message


def test_a_refresh_in_progress_is_no_news_while_the_secret_is_ready() -> None:
    """Conditions and Events do not flap every hour."""
    found = decision(changed(oauth2_up_to_date(), refresh=refresh_state.Refreshing()))

    assert (Action.WAIT, Reason.PUBLISHED) == (found.action, found.reason)


def test_a_refresh_in_progress_is_pending_before_the_first_value() -> None:
    """Nothing is published yet."""
    seen = changed(
        oauth2_up_to_date(),
        accepted=None,
        verification=None,
        target=None,
        token=None,
        refresh=refresh_state.Refreshing(),
    )

    assert decision(seen).reason is Reason.PENDING


def test_an_unstored_refresh_is_reported_and_not_repeated() -> None:
    """The keeper retries storing; another refresh would spend a second token."""
    unstored = refresh_state.Unstored(trouble=GrantUnstored("Vault is sealed"))
    seen = changed(oauth2_up_to_date(), now=NOW + timedelta(minutes=59), refresh=unstored)

    found = decision(seen)

    assert (Action.WAIT, Reason.GRANT_ESCROWED) == (found.action, found.reason)


def test_an_unstored_refresh_is_reported_even_while_vault_cannot_be_read() -> None:
    """The grant at risk matters more than its cause, an unavailable Vault."""
    unstored = refresh_state.Unstored(trouble=GrantUnstored("Vault is sealed"))
    away = failure(VaultUnavailable("Vault is sealed"), "")
    seen = changed(oauth2_up_to_date(), source_failure=away, refresh=unstored)

    assert decision(seen).reason is Reason.GRANT_ESCROWED


def test_a_refused_refresh_waits_for_another_refresh_token() -> None:
    """The same refresh token is not sent again, and another one in Vault is tried at once."""
    seen = changed(oauth2_up_to_date(), now=NOW + timedelta(hours=1))
    assert seen.memory.grant is not None
    later = seen.now + timedelta(hours=1)
    refused = refresh_state.Refused(
        trouble=ConsentRequired("refused"),
        lineage=seen.memory.grant.lineage,
        access_digest=seen.memory.grant.access_digest,
        retry_at=later,
    )

    assert decision(changed(seen, refresh=refused)).reason is Reason.CONSENT_REQUIRED
    assert decision(changed(seen, refresh=refused, grant=grant("12:34:second"))).action is Action.REFRESH


def test_an_unavailable_refresh_is_tried_again_after_its_pause() -> None:
    """A transient failure of Pipedrive ends by itself."""
    seen = changed(oauth2_up_to_date(), now=NOW + timedelta(minutes=59))
    unavailable = refresh_state.Unavailable(
        trouble=PipedriveUnavailable("503"), access_digest=None, retry_at=seen.now + timedelta(seconds=10)
    )

    assert decision(changed(seen, refresh=unavailable)).reason is Reason.PIPEDRIVE_UNAVAILABLE
    assert decision(changed(seen, refresh=unavailable, now=unavailable.retry_at)).action is Action.REFRESH


@pytest.mark.parametrize(("rejections", "action"), [(1, Action.REFRESH), (2, Action.WAIT)])
def test_a_token_rejected_before_expiry_is_refreshed_once(rejections: int, action: Action) -> None:
    """One refresh replaces a revoked access token; after a second rejection a person must act."""
    refusal = TokenRejected("Pipedrive refused the token")
    seen = changed(
        oauth2_up_to_date(),
        accepted_was_rejected=True,
        rejections=rejections,
        verification=Verification(token=access_token(), at=NOW, trouble=refusal),
        verify_failure=failure(refusal, access_token().value.digest()),
    )

    assert decision(seen).action is action


def test_another_company_is_not_published() -> None:
    """The guard applies even to a value that Pipedrive accepts."""
    seen = api_token_up_to_date()
    other = replace(ACCOUNT, company_id=99, company_domain="other")
    new = api_token("b" * 40)

    found = decision(changed(seen, token=new, verification=Verification(token=new, at=NOW, account=other)))

    assert (Action.WAIT, Reason.WRONG_ACCOUNT) == (found.action, found.reason)
    assert "other" in found.message


def test_a_changed_guard_stops_repair() -> None:
    """A value of the wrong company is not published again."""
    seen = api_token_up_to_date()
    spec = replace(seen.credential.spec, account=AccountGuard(company_id=99))

    found = decision(changed(seen, credential=replace(seen.credential, spec=spec), target=None))

    assert found.reason is Reason.WRONG_ACCOUNT


def test_a_foreign_secret_is_left_alone() -> None:
    """A Secret of someone else is named, left unchanged, and checked every minute."""
    seen = api_token_up_to_date()
    assert seen.target is not None
    foreign = replace(seen.target, labels={}, annotations={}, owner_references=(), data={"x": "eA=="})

    found = decision(changed(seen, target=foreign))

    assert (Action.WAIT, Reason.SECRET_CONFLICT) == (found.action, found.reason)
    assert found.until == NOW + timedelta(minutes=1)


def test_a_secret_annotated_for_adoption_is_taken_over() -> None:
    """Its owner offered it by annotation."""
    seen = api_token_up_to_date()
    assert seen.target is not None
    offered = replace(
        seen.target,
        labels={},
        annotations={"pipedrive-operator.io/adopt": "acme"},
        owner_references=(),
        data={"x": "eA=="},
    )

    assert decision(changed(seen, target=offered)).action is Action.PUBLISH


def test_a_missing_scope_is_reported_after_publishing() -> None:
    """The value is published nevertheless."""
    seen = oauth2_up_to_date(requiredScopes=["base", "contacts:full"])

    assert decision(changed(seen, target=None)).action is Action.PUBLISH
    assert decision(seen).reason is Reason.SCOPE_MISSING
    assert "contacts:full" in decision(seen).message
