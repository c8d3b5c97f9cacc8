"""What an observation and a decision become in the status and in Events."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.decision.decision import Action, Decision
from pipedrive_operator.core.decision.observation import Observation
from pipedrive_operator.core.decision.report import (
    announcement,
    is_ready,
    report,
    report_unreadable,
    rollout_announcement,
)
from pipedrive_operator.core.publication.rollout import RestartState, Result
from pipedrive_operator.core.resource.credential import UnreadableCredential, read_credential
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.resource.status import Status
from pipedrive_operator.core.resource.workload import (
    Rollout,
    WorkloadKind,
    WorkloadReference,
    WorkloadStatus,
)
from pipedrive_operator.core.values.conditions import (
    EFFECTS,
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
)
from pipedrive_operator.core.values.mask import LONGEST_MESSAGE
from support.builders import (
    ACCOUNT,
    NOW,
    TIMINGS,
    access_token,
    api_token_up_to_date,
    changed,
    oauth2_up_to_date,
    published,
    resource,
)

READY, AUTHORIZED, STALLED = ConditionType.READY, ConditionType.AUTHORIZED, ConditionType.STALLED
TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
WEB = WorkloadReference(kind=WorkloadKind.DEPLOYMENT, name="web")


def waiting(reason: Reason, message: str = "why") -> Decision:
    """Build a decision to wait."""
    return Decision(action=Action.WAIT, reason=reason, message=message)


def reported(seen: Observation, reason: Reason = Reason.PUBLISHED, message: str = "why") -> Status:
    """Build the status for a decision to wait."""
    return report(seen, waiting(reason, message), handled_request=None)


def summary(status: Status) -> dict[str, tuple[str, str]]:
    """Return status and reason of each condition."""
    return {one.type.value: (one.status.value, one.reason.value) for one in status.conditions}


def condition(kind: ConditionType, status: ConditionStatus, reason: Reason, message: str = "why") -> Condition:
    """Build a condition."""
    return Condition(
        type=kind, status=status, reason=reason, message=message, observed_generation=1, last_transition_time=NOW
    )


def with_status(seen: Observation, **fields: Any) -> Observation:
    """Give the observed credential another status."""
    return replace(seen, credential=replace(seen.credential, status=replace(seen.credential.status, **fields)))


def with_rollout(seen: Observation) -> Observation:
    """Let the credential restart a workload, and publish what it would then publish."""
    spec = replace(seen.credential.spec, rollout=Rollout(targets=(WEB,)))
    credential = replace(seen.credential, spec=spec)
    assert seen.memory.accepted is not None
    return replace(seen, credential=credential, target=published(credential, seen.memory.accepted))


class TestConditions:
    """Ready, Authorized and Stalled."""

    @pytest.mark.parametrize("reason", Reason, ids=str)
    def test_every_reason_has_the_effect_that_the_table_gives_it(self, reason: Reason) -> None:
        """In this test the Secret is as desired."""
        effect = EFFECTS[reason]

        found = summary(reported(api_token_up_to_date(), reason))

        assert (("False", reason.value) if effect.not_ready else ("True", "Published")) == found["Ready"]
        expected = ("True", "Accepted") if effect.authorized is None else (effect.authorized.value, reason.value)
        assert expected == found["Authorized"]
        assert (("True", reason.value) if effect.stalled else None) == found.get("Stalled")

    @pytest.mark.parametrize(
        ("changes", "ready"),
        [
            pytest.param({}, True, id="as desired"),
            pytest.param({"target": None}, False, id="no Secret"),
            pytest.param({"accepted_was_rejected": True}, False, id="rejected since"),
            pytest.param({"now": NOW + timedelta(hours=2)}, False, id="expired"),
        ],
    )
    def test_ready_is_about_the_secret(self, changes: dict[str, Any], *, ready: bool) -> None:
        """It does not depend on the decision of the pass."""
        seen = changed(oauth2_up_to_date(), **changes)

        assert ready is is_ready(seen)
        assert (("True", "Published") if ready else ("False", "VaultUnavailable")) == summary(
            reported(seen, Reason.VAULT_UNAVAILABLE)
        )["Ready"]

    def test_a_value_without_a_required_scope_is_not_ready(self) -> None:
        """Whatever the pass decides: Ready must not become True because Vault is away."""
        seen = oauth2_up_to_date(requiredScopes=["contacts:full"])

        assert ("False", "VaultUnavailable") == summary(reported(seen, Reason.VAULT_UNAVAILABLE))["Ready"]

    @pytest.mark.parametrize(
        ("before", "changes", "ready"),
        [
            pytest.param(condition(READY, TRUE, Reason.PUBLISHED), {}, True, id="untouched"),
            pytest.param(None, {}, False, id="never reported"),
            pytest.param(condition(READY, FALSE, Reason.PENDING), {}, False, id="not ready before"),
            pytest.param(
                replace(condition(READY, TRUE, Reason.PUBLISHED), observed_generation=0), {}, False, id="an older spec"
            ),
            pytest.param(
                condition(READY, TRUE, Reason.PUBLISHED), {"expires_at": NOW - timedelta(1)}, False, id="expired since"
            ),
        ],
    )
    def test_after_a_restart_ready_goes_by_the_secret_and_the_status(
        self, before: Condition | None, changes: dict[str, Any], *, ready: bool
    ) -> None:
        """The process remembers nothing, and Vault may be unavailable."""
        seen = changed(oauth2_up_to_date(), accepted=None, token=None, grant=None, verification=None)
        seen = with_status(seen, conditions=(before,) if before else (), **changes)

        assert ready is is_ready(seen)

    def test_an_edited_secret_is_not_ready_after_a_restart(self) -> None:
        """Its digest shows the edit, when it is read."""
        seen = changed(api_token_up_to_date(), accepted=None)
        seen = with_status(seen, conditions=(condition(READY, TRUE, Reason.PUBLISHED),))
        assert seen.target is not None
        edited = replace(seen.target, is_untouched=False)

        assert is_ready(seen)
        assert not is_ready(replace(seen, target=edited))

    def test_an_unverified_token_is_not_reported_as_authorized(self) -> None:
        """It is not reported as refused, either."""
        seen = changed(api_token_up_to_date(), verification=None)

        assert ("Unknown", "Pending") == summary(reported(seen))["Authorized"]

    def test_a_message_is_masked(self) -> None:
        """The last defence: everyone with view rights reads conditions, and Events quote them."""
        status = reported(api_token_up_to_date(), Reason.SECRET_WRITE_DENIED, f"quoted: {'ab' * 20}")

        messages = [one.message for one in status.conditions if one.type is not AUTHORIZED]
        assert {"quoted: (hidden)"} == set(messages)

    def test_a_long_message_is_truncated(self) -> None:
        """The API server refuses a status with a longer one."""
        status = reported(api_token_up_to_date(), Reason.SECRET_WRITE_DENIED, "é" * 100_000)

        assert {LONGEST_MESSAGE} == {len(one.message) for one in status.conditions if one.type is not AUTHORIZED}

    def test_the_transition_time_changes_only_with_the_status(self) -> None:
        """A pass without any news changes nothing."""
        first = reported(oauth2_up_to_date())
        later = with_status(changed(oauth2_up_to_date(), now=NOW + timedelta(minutes=1)), conditions=first.conditions)

        assert first.conditions == reported(later).conditions
        flipped = reported(later, Reason.SCOPE_MISSING).condition(READY)
        assert flipped is not None
        assert NOW + timedelta(minutes=1) == flipped.last_transition_time


class TestReadyMessage:
    """What a person reads beside Ready=True."""

    def message(self, seen: Observation) -> str:
        """Return the message of Ready."""
        found = reported(seen).condition(READY)
        assert found is not None
        assert TRUE is found.status
        return found.message

    def test_the_expiry_is_that_of_the_value_in_the_secret(self) -> None:
        """While a refreshed value cannot be written there, the one before expires."""
        seen, earlier = oauth2_up_to_date(), NOW + timedelta(minutes=5)
        stale = with_status(changed(seen, target=None), expires_at=earlier)

        assert (access_token().expires_at, earlier) == (reported(seen).expires_at, reported(stale).expires_at)

    def test_a_clamped_renewal_is_named(self) -> None:
        """The setting is not what is used."""
        assert "so 30m is used" in self.message(oauth2_up_to_date(renewBefore="50m"))

    def test_a_renamed_company_is_named(self) -> None:
        """The domain in the status stays that of spec.account."""
        seen = api_token_up_to_date()
        spec = replace(seen.credential.spec, account=AccountGuard(company_id=12, company_domain="former"))
        seen = replace(seen, credential=replace(seen.credential, spec=spec))
        seen = with_status(seen, account=replace(ACCOUNT, company_domain="former"))

        assert "now called acme" in self.message(seen)
        status = reported(seen)
        assert status.account is not None
        assert "former" == status.account.company_domain

    def test_keys_of_others_are_named(self) -> None:
        """Users can see that they are left unchanged on purpose."""
        seen = api_token_up_to_date()
        assert seen.target is not None
        shared = replace(seen.target, data={**seen.target.data, "theirs": "eA=="})

        assert "Foreign keys are left unchanged: theirs" in self.message(replace(seen, target=shared))

    def test_a_rollout_without_the_setting_is_reported(self) -> None:
        """An Event says so once, too."""
        seen = with_rollout(api_token_up_to_date())

        assert "rollout.enabled" in self.message(seen)
        event = rollout_announcement(seen)
        assert event is not None
        assert (True, "RolloutDenied") == (event.warning, event.reason)
        assert rollout_announcement(with_status(seen, conditions=reported(seen).conditions)) is None

    def test_an_unfinished_restart_is_named(self) -> None:
        """A deferred one in Ready alone, since it comes by itself."""
        seen = with_rollout(api_token_up_to_date())
        seen = replace(seen, timings=replace(TIMINGS, restart_interval=timedelta(minutes=10)))
        assert seen.published_revision is not None
        state = RestartState(reference=WEB, revision=seen.published_revision, result=Result.DEFERRED, message="later")
        deferred = changed(seen, restart_states=(state,))
        denied = changed(seen, restart_states=(replace(state, result=Result.DENIED, message="forbidden"),))
        absent = changed(seen, restart_states=(replace(state, result=Result.ABSENT, message="does not exist"),))

        assert "later" in self.message(deferred)
        assert rollout_announcement(deferred) is None
        assert ["forbidden", "does not exist"] == [
            event.message for event in map(rollout_announcement, (denied, absent)) if event is not None
        ]

    def test_a_restarted_workload_is_recorded(self) -> None:
        """The record has the revision that it was restarted for."""
        seen = with_rollout(api_token_up_to_date())
        seen = replace(seen, timings=replace(TIMINGS, restart_interval=timedelta(minutes=10)))
        revision = seen.published_revision
        assert revision is not None

        recorded = WorkloadStatus(kind=WEB.kind, name=WEB.name, revision=revision)
        assert (recorded,) == reported(seen).rollout


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(None, condition(READY, TRUE, Reason.PUBLISHED), None, id="a first success"),
        pytest.param(
            condition(READY, FALSE, Reason.PENDING), condition(READY, TRUE, Reason.PUBLISHED), None, id="it is pending"
        ),
        pytest.param(
            condition(READY, FALSE, Reason.SECRET_CONFLICT),
            condition(READY, TRUE, Reason.PUBLISHED),
            (False, "Published"),
            id="a recovery",
        ),
        pytest.param(
            condition(READY, TRUE, Reason.PUBLISHED),
            condition(READY, FALSE, Reason.VAULT_DENIED),
            (True, "VaultDenied"),
            id="a failure",
        ),
        pytest.param(
            condition(READY, FALSE, Reason.VAULT_DENIED),
            condition(READY, FALSE, Reason.SOURCE_MISSING),
            None,
            id="another reason",
        ),
        pytest.param(
            condition(AUTHORIZED, TRUE, Reason.ACCEPTED),
            condition(AUTHORIZED, UNKNOWN, Reason.VAULT_UNAVAILABLE),
            None,
            id="unknown for now",
        ),
        pytest.param(
            condition(AUTHORIZED, UNKNOWN, Reason.PENDING),
            condition(AUTHORIZED, UNKNOWN, Reason.GRANT_ESCROWED),
            (True, "GrantEscrowed"),
            id="a grant in escrow",
        ),
        pytest.param(None, condition(STALLED, TRUE, Reason.INVALID_SPEC), (True, "InvalidSpec"), id="stalled at once"),
    ],
)
def test_an_event_is_recorded_for_news(
    before: Condition | None, after: Condition, expected: tuple[bool, str] | None
) -> None:
    """A condition that changed, unless users need no Event about it."""
    statuses = (Status(conditions=(before,) if before else ()), Status(conditions=(after,)))

    event = announcement(*statuses)

    assert expected == (None if event is None else (event.warning, event.reason))


def test_an_unreadable_spec_changes_the_conditions_only() -> None:
    """What was known stays in the status."""
    status = {"secretName": "acme", "expiresAt": "2026-03-04T13:00:00Z", "lastHandledRequest": "1"}
    credential = read_credential(resource({"apiToken": {}}, generation=3) | {"status": status})
    assert isinstance(credential, UnreadableCredential)

    found = report_unreadable(credential, NOW)

    assert {
        "Ready": ("False", "InvalidSpec"),
        "Authorized": ("Unknown", "Pending"),
        "Stalled": ("True", "InvalidSpec"),
    } == summary(found)
    assert (3, "acme", "1") == (found.observed_generation, found.secret_name, found.last_handled_request)
    assert {"spec.apiToken.path"} <= {word for one in found.conditions for word in one.message.split(": ")}
