"""The policy, one decision at a time: an observation that leaves nothing to do, one thing changed, what follows."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.decision.decision import Action, Decision
from pipedrive_operator.core.decision.observation import Observation, Requested
from pipedrive_operator.core.decision.policy import decide
from pipedrive_operator.core.decision.retry import Failure
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.token import Verification
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.values.conditions import Reason
from pipedrive_operator.core.values.errors import (
    ConsentRequired,
    GrantUnstored,
    InvalidSpec,
    PipedriveUnavailable,
    SecretWriteDenied,
    TokenRejected,
    VaultUnavailable,
)
from support.builders import (
    ACCOUNT,
    NOW,
    access_token,
    api_token,
    api_token_up_to_date,
    changed,
    grant,
    oauth2_up_to_date,
    published,
)

SOON = NOW + timedelta(seconds=30)


def decision(seen: Observation) -> Decision:
    """Decide, where something is to be decided."""
    found = decide(seen)
    assert found is not None
    return found


def failure(trouble: object, subject: str) -> Failure:
    """Build a failure that stands for half a minute."""
    return Failure(trouble=trouble, subject=subject, retry_at=SOON)  # type: ignore[arg-type]


@pytest.mark.parametrize("seen", [api_token_up_to_date(), oauth2_up_to_date()], ids=["API token", "OAuth2"])
def test_nothing_to_do_waits(seen: Observation) -> None:
    """An observation with everything in place leads to a wait that something ends."""
    found = decision(seen)

    assert (Action.WAIT, Reason.PUBLISHED) == (found.action, found.reason)
    assert found.until == NOW + timedelta(minutes=5)


def test_a_credential_being_deleted_is_left_alone() -> None:
    """Deletion comes before everything: nothing is repaired, refreshed or reported."""
    seen = oauth2_up_to_date()
    going = changed(seen, credential=replace(seen.credential, being_deleted=True), target=None)

    assert decide(going) is None


def test_a_namespace_being_deleted_is_left_alone() -> None:
    """Nothing can be created in it any more."""
    assert decide(changed(api_token_up_to_date(), namespace_is_terminating=True, target=None)) is None


def test_a_suspended_credential_is_not_repaired() -> None:
    """Suspension stops Secret writes and outside calls alike, until the resource changes."""
    seen = api_token_up_to_date()
    spec = replace(seen.credential.spec, suspend=True)

    found = decision(changed(seen, credential=replace(seen.credential, spec=spec), target=None))

    assert (Action.WAIT, Reason.SUSPENDED, None) == (found.action, found.reason, found.until)


def test_a_wrong_spec_waits_for_a_change() -> None:
    """Only a person can mend the spec, so no time ends the wait."""
    found = decision(changed(api_token_up_to_date(), problem=InvalidSpec("spec.vault.mount: no such mount")))

    assert (Action.WAIT, Reason.INVALID_SPEC, None) == (found.action, found.reason, found.until)


@pytest.mark.parametrize("seen", [api_token_up_to_date(), oauth2_up_to_date()], ids=["API token", "OAuth2"])
def test_a_missing_secret_is_published(seen: Observation) -> None:
    """A deleted Secret comes back from what is known."""
    assert decision(changed(seen, target=None)).action is Action.PUBLISH


def test_a_missing_secret_is_published_while_vault_is_away() -> None:
    """Repair needs nothing but memory."""
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
    """Keys, labels and annotations of others stay."""
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
    """The Secret is never knowingly wrong: an expired token is refreshed, not repaired."""
    seen = oauth2_up_to_date()

    assert decision(changed(seen, target=None, now=NOW + timedelta(hours=1))).action is Action.REFRESH


def test_a_refused_value_is_not_published() -> None:
    """What Pipedrive has refused does not come back into the Secret."""
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
    """A new value in Vault is asked about at once."""
    new = api_token("b" * 40)

    found = decision(changed(api_token_up_to_date(), token=new))

    assert (Action.VERIFY, new) == (found.action, found.token)


def test_a_refused_new_value_leaves_the_last_good_one_in_place() -> None:
    """The old value is still repaired while the new one is refused."""
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
    """Acceptance does not last for ever."""
    seen = api_token_up_to_date()

    assert (
        decision(changed(seen, now=NOW + timedelta(hours=1), read_at=NOW + timedelta(hours=1))).action is Action.VERIFY
    )


def test_a_requested_check_verifies_at_once() -> None:
    """The annotation makes a verification due."""
    assert decision(changed(api_token_up_to_date(), requested=Requested.CHECK)).action is Action.VERIFY


def test_a_requested_check_does_not_pass_a_setback() -> None:
    """Asking does not override Pipedrive's Retry-After."""
    seen = changed(
        api_token_up_to_date(),
        requested=Requested.CHECK,
        verify_failure=failure(PipedriveUnavailable("503"), api_token().value.digest()),
    )

    found = decision(seen)

    assert (Action.WAIT, Reason.PIPEDRIVE_UNAVAILABLE, SOON) == (found.action, found.reason, found.until)


def test_vault_away_waits_for_its_retry() -> None:
    """The Secret stays; the wait ends when Vault is worth another try."""
    found = decision(changed(api_token_up_to_date(), source_failure=failure(VaultUnavailable("sealed"), "source")))

    assert (Action.WAIT, Reason.VAULT_UNAVAILABLE, SOON) == (found.action, found.reason, found.until)


def test_the_renewal_time_refreshes() -> None:
    """A third of the lifetime is left."""
    seen = oauth2_up_to_date()
    assert seen.renewal is not None

    assert decision(changed(seen, now=seen.renewal.at - timedelta(seconds=1))).action is Action.WAIT
    assert decision(changed(seen, now=seen.renewal.at)).action is Action.REFRESH


def test_a_wait_ends_at_the_renewal_time() -> None:
    """Nothing needs to wake the credential for its renewal."""
    seen = changed(oauth2_up_to_date(renewBefore="58m"), now=NOW + timedelta(minutes=1))
    assert seen.renewal is not None

    found = decision(changed(seen, read_at=NOW + timedelta(minutes=29)))

    assert found.until == seen.renewal.at


def test_a_seeded_refresh_token_is_refreshed() -> None:
    """A grant without an access token gets one."""
    assert decision(changed(oauth2_up_to_date(), grant=grant(token=None), token=None)).action is Action.REFRESH


def test_an_absent_grant_waits_for_a_person() -> None:
    """No grant yet is no failure."""
    found = decision(
        changed(oauth2_up_to_date(), grant=None, token=None, accepted=None, verification=None, target=None)
    )

    assert (Action.WAIT, Reason.GRANT_MISSING) == (found.action, found.reason)


def test_a_refresh_under_way_is_no_news_while_the_secret_is_good() -> None:
    """Neither conditions nor Events flap each hour."""
    found = decision(changed(oauth2_up_to_date(), refresh=refresh_state.Refreshing()))

    assert (Action.WAIT, Reason.PUBLISHED) == (found.action, found.reason)


def test_a_refresh_under_way_is_pending_before_the_first_value() -> None:
    """There is nothing published that could be called accepted."""
    seen = changed(
        oauth2_up_to_date(),
        accepted=None,
        verification=None,
        target=None,
        token=None,
        refresh=refresh_state.Refreshing(),
    )

    assert decision(seen).reason is Reason.PENDING


def test_an_unstored_refresh_is_told_and_not_repeated() -> None:
    """The keeper goes on storing; asking again would spend a second token."""
    unstored = refresh_state.Unstored(trouble=GrantUnstored("Vault is sealed"))
    seen = changed(oauth2_up_to_date(), now=NOW + timedelta(minutes=59), refresh=unstored)

    found = decision(seen)

    assert (Action.WAIT, Reason.GRANT_ESCROWED) == (found.action, found.reason)


def test_an_unstored_refresh_is_told_also_while_vault_cannot_be_read() -> None:
    """Vault being away is why, and what is at stake is more."""
    unstored = refresh_state.Unstored(trouble=GrantUnstored("Vault is sealed"))
    away = failure(VaultUnavailable("Vault is sealed"), "")
    seen = changed(oauth2_up_to_date(), source_failure=away, refresh=unstored)

    assert decision(seen).reason is Reason.GRANT_ESCROWED


def test_a_refused_refresh_waits_for_another_refresh_token() -> None:
    """The same token is left alone, and another one in Vault is tried at once."""
    seen = changed(oauth2_up_to_date(), now=NOW + timedelta(hours=1))
    assert seen.memory.grant is not None
    later = seen.now + timedelta(hours=1)
    refused = refresh_state.Refused(
        trouble=ConsentRequired("refused"), lineage=seen.memory.grant.lineage, retry_at=later
    )

    assert decision(changed(seen, refresh=refused)).reason is Reason.CONSENT_REQUIRED
    assert decision(changed(seen, refresh=refused, grant=grant("12:34:second"))).action is Action.REFRESH


def test_an_unavailable_refresh_is_tried_again_when_it_is_worth_it() -> None:
    """A passing trouble with Pipedrive ends by itself."""
    seen = changed(oauth2_up_to_date(), now=NOW + timedelta(minutes=59))
    unavailable = refresh_state.Unavailable(
        trouble=PipedriveUnavailable("503"), retry_at=seen.now + timedelta(seconds=10)
    )

    assert decision(changed(seen, refresh=unavailable)).reason is Reason.PIPEDRIVE_UNAVAILABLE
    assert decision(changed(seen, refresh=unavailable, now=unavailable.retry_at)).action is Action.REFRESH


@pytest.mark.parametrize(("rejections", "action"), [(1, Action.REFRESH), (2, Action.WAIT)])
def test_a_token_refused_before_expiry_is_refreshed_once(rejections: int, action: Action) -> None:
    """One refresh cures a revoked access token; a second refusal is for a person."""
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
    """The guard decides, even about a value that Pipedrive accepts."""
    seen = api_token_up_to_date()
    other = replace(ACCOUNT, company_id=99, company_domain="other")
    new = api_token("b" * 40)

    found = decision(changed(seen, token=new, verification=Verification(token=new, at=NOW, account=other)))

    assert (Action.WAIT, Reason.WRONG_ACCOUNT) == (found.action, found.reason)
    assert "other" in found.message


def test_a_changed_guard_stops_repair() -> None:
    """A value of the wrong company is not put back."""
    seen = api_token_up_to_date()
    spec = replace(seen.credential.spec, account=AccountGuard(company_id=99))

    found = decision(changed(seen, credential=replace(seen.credential, spec=spec), target=None))

    assert found.reason is Reason.WRONG_ACCOUNT


def test_a_foreign_secret_is_left_alone() -> None:
    """Somebody else's Secret is named, not touched, and looked at each minute."""
    seen = api_token_up_to_date()
    assert seen.target is not None
    foreign = replace(seen.target, labels={}, annotations={}, owner_references=(), data={"x": "eA=="})

    found = decision(changed(seen, target=foreign))

    assert (Action.WAIT, Reason.SECRET_CONFLICT) == (found.action, found.reason)
    assert found.until == NOW + timedelta(minutes=1)


def test_a_secret_annotated_for_adoption_is_taken_over() -> None:
    """Its owner has handed it over."""
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


def test_a_forbidden_write_is_not_repeated_until_it_is_worth_it() -> None:
    """The same Secret is not written again at once; another one is."""
    seen = changed(api_token_up_to_date(), target=None)
    assert seen.desired is not None
    denied = failure(SecretWriteDenied("exceeded quota"), seen.desired.digest)

    assert decision(changed(seen, publish_failure=denied)).reason is Reason.SECRET_WRITE_DENIED
    assert decision(changed(seen, publish_failure=denied, now=SOON)).action is Action.PUBLISH
    assert decision(changed(seen, publish_failure=replace(denied, subject="another"))).action is Action.PUBLISH


def test_a_missing_scope_is_told_after_publishing() -> None:
    """The value is published all the same."""
    seen = oauth2_up_to_date(requiredScopes=["base", "contacts:full"])

    assert decision(changed(seen, target=None)).action is Action.PUBLISH
    assert decision(seen).reason is Reason.SCOPE_MISSING
    assert "contacts:full" in decision(seen).message


def test_a_secret_under_a_former_name_is_cleared_after_the_new_one_is_there() -> None:
    """Publishing is due while a orphan is left."""
    seen = api_token_up_to_date()
    assert seen.memory.accepted is not None
    orphan = published(seen.credential, seen.memory.accepted, name="former")

    assert decision(changed(seen, orphans=(orphan,))).action is Action.PUBLISH
