"""The policy about writes of the Secret: which are due, which wait, and what never waits for them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.decision.decision import Action
from pipedrive_operator.core.decision.observation import Observation, Requested
from pipedrive_operator.core.decision.timings import NEXT_PASS
from pipedrive_operator.core.decision.writes import Writes
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.publication.secret import LARGEST_DATA
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.names import ANNOTATION_DIGEST, ANNOTATION_MANAGED, LABEL_CREDENTIAL
from pipedrive_operator.core.values.conditions import Reason
from pipedrive_operator.core.values.errors import SecretWriteDenied
from support.builders import NOW, access_token, api_token_up_to_date, changed, oauth2_up_to_date, published
from support.decisions import SOON, decision, failure


def test_a_failed_write_is_repeated_after_its_pause() -> None:
    """The same Secret waits; a different one is written at once."""
    seen = changed(api_token_up_to_date(), target=None)
    assert seen.desired is not None
    denied = failure(SecretWriteDenied("exceeded quota"), seen.desired.digest)

    assert decision(changed(seen, publication=Writes(failure=denied))).reason is Reason.SECRET_WRITE_DENIED
    assert decision(changed(seen, publication=Writes(failure=denied), now=SOON)).action is Action.PUBLISH
    another = replace(denied, subject="another")
    assert decision(changed(seen, publication=Writes(failure=another))).action is Action.PUBLISH


def with_orphan() -> Observation:
    """Build an observation in which nothing is to do except the removal of one Secret."""
    seen = api_token_up_to_date()
    assert seen.memory.accepted is not None
    return changed(seen, orphans=(published(seen.credential, seen.memory.accepted, name="former"),))


def test_a_secret_under_a_former_name_is_removed_after_the_new_one_exists() -> None:
    """Publishing is due as long as an orphan exists."""
    assert decision(with_orphan()).action is Action.PUBLISH


def test_a_removal_that_failed_is_reported_and_repeated_after_its_pause() -> None:
    """It keeps no repair of the target Secret waiting, and another generation is tried at once."""
    seen = with_orphan()
    denied = Writes(failure=failure(SecretWriteDenied("not allowed"), seen.removal_subject))
    paused = changed(seen, removal=denied)
    edited = changed(paused, credential=replace(seen.credential, generation=seen.credential.generation + 1))

    assert (Action.WAIT, "not allowed", SOON) == (
        decision(paused).action,
        decision(paused).message,
        decision(paused).until,
    )
    assert decision(changed(paused, now=SOON)).action is Action.PUBLISH
    assert decision(changed(paused, target=None)).action is Action.PUBLISH
    assert decision(edited).action is Action.PUBLISH


@pytest.mark.parametrize("is_due", [True, False], ids=["a refresh is due", "nothing else is due"])
def test_a_secret_that_was_written_too_often_keeps_nothing_else_waiting(*, is_due: bool) -> None:
    """Another pass comes soon, and the message says that something else changes the Secret."""
    seen = changed(oauth2_up_to_date(), target=None, spent=frozenset({Action.PUBLISH}))

    found = decision(changed(seen, requested=Requested.REFRESH) if is_due else seen)

    if is_due:
        assert found.action is Action.REFRESH
    else:
        assert (Action.WAIT, Reason.SECRET_WRITE_DENIED) == (found.action, found.reason)
        assert found.until == NOW + NEXT_PASS
        assert "Secret acme was written several times in a row" in found.message


def test_a_pass_that_left_nothing_out_is_not_repeated_soon() -> None:
    """What it has done often is as it should be now."""
    seen = changed(api_token_up_to_date(), spent=frozenset({Action.PUBLISH}))

    until = decision(seen).until
    assert until is not None
    assert NOW + timedelta(minutes=4, seconds=30) <= until <= NOW + timedelta(minutes=5)


def test_a_refresh_in_progress_does_not_hide_that_the_secret_cannot_be_written() -> None:
    """The condition keeps its reason until the refresh has ended."""
    seen = changed(oauth2_up_to_date(), target=None, refresh=refresh_state.Refreshing())
    assert seen.desired is not None
    denied = failure(SecretWriteDenied("exceeded quota"), seen.desired.digest)

    found = decision(changed(seen, publication=Writes(failure=denied)))

    assert (Action.WAIT, Reason.SECRET_WRITE_DENIED) == (found.action, found.reason)


@pytest.mark.parametrize(
    ("labels", "annotations", "reason"),
    [
        pytest.param({}, {ANNOTATION_DIGEST, ANNOTATION_MANAGED}, Reason.SECRET_WRITE_DENIED, id="without our label"),
        pytest.param({}, {ANNOTATION_DIGEST}, Reason.SECRET_CONFLICT, id="never ours"),
        pytest.param(
            {LABEL_CREDENTIAL: "other"},
            {ANNOTATION_DIGEST, ANNOTATION_MANAGED},
            Reason.SECRET_CONFLICT,
            id="of another credential",
        ),
    ],
)
def test_a_foreign_secret_is_reported_for_what_it_is(
    labels: dict[str, str], annotations: set[str], reason: Reason
) -> None:
    """A Secret that lacks only the label was ours, and adopting it would not bring the label back."""
    seen = api_token_up_to_date()
    assert seen.target is not None
    marks = dict.fromkeys(annotations, "x")
    foreign = replace(seen.target, labels=labels, annotations=marks, owner_references=())

    found = decision(changed(seen, target=foreign))

    assert (Action.WAIT, reason) == (found.action, found.reason)
    assert ("kubectl label secret acme -n crm pipedrive-operator.io/credential=acme" in found.message) is (
        reason is Reason.SECRET_WRITE_DENIED
    )
    assert ("pipedrive-operator.io/adopt" in found.message) is (reason is Reason.SECRET_CONFLICT)


def foreign_secret() -> TargetSecret:
    """Return a Secret of the target's name that belongs to nobody."""
    target = oauth2_up_to_date().target
    assert target is not None
    return replace(target, labels={}, annotations={}, owner_references=())


def unrenderable() -> Observation:
    """Build an observation of a credential whose Secret would be too large."""
    seen = oauth2_up_to_date()
    large = replace(access_token(), scope=frozenset({"s" * LARGEST_DATA}))
    assert seen.memory.accepted is not None
    return changed(seen, token=large, accepted=replace(seen.memory.accepted, token=large))


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (oauth2_up_to_date(requiredScopes=["contacts:full"]), Reason.SCOPE_MISSING),
        (changed(oauth2_up_to_date(), target=foreign_secret()), Reason.SECRET_CONFLICT),
        (unrenderable(), Reason.SECRET_WRITE_DENIED),
    ],
    ids=["scope missing", "Secret of another", "cannot be rendered"],
)
def test_a_refresh_in_progress_does_not_hide_what_is_wrong_with_the_secret(seen: Observation, reason: Reason) -> None:
    """A person must act still, and nothing says that the Secret holds the value."""
    found = decision(changed(seen, refresh=refresh_state.Refreshing()))

    assert (Action.WAIT, reason) == (found.action, found.reason)


def test_a_scope_is_reported_as_missing_only_if_the_token_is_published() -> None:
    """The message says that it is."""
    seen = changed(oauth2_up_to_date(requiredScopes=["contacts:full"]), accepted=None, target=None)

    assert decision(changed(seen, refresh=refresh_state.Refreshing())).reason is Reason.PENDING
