"""The table of reasons, and when a condition has changed."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.values.conditions import (
    EFFECTS,
    EVENT_TEXTS,
    Condition,
    ConditionStatus,
    ConditionType,
    EventReason,
    Reason,
    keep_transition_times,
)
from support.builders import NOW

BEFORE = Condition(
    type=ConditionType.READY,
    status=ConditionStatus.FALSE,
    reason=Reason.VAULT_UNAVAILABLE,
    message="sealed",
    observed_generation=1,
    last_transition_time=NOW,
)
LATER = NOW + timedelta(minutes=1)


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_every_reason_has_an_effect_that_people_can_read(reason: Reason) -> None:
    """Its meaning and its remedy are sentences without a full stop."""
    effect = EFFECTS[reason]

    assert all(text and not text.endswith(".") for text in (effect.meaning, effect.remedy))
    assert not (effect.stalled and effect.authorized is ConditionStatus.TRUE)


@pytest.mark.parametrize("reason", EventReason, ids=str)
def test_every_reason_of_events_alone_has_a_text_that_people_can_read(reason: EventReason) -> None:
    """`kubectl pipedrive explain` and docs/reasons.md print it."""
    text = EVENT_TEXTS[reason]

    assert all(part and not part.endswith(".") for part in (text.meaning, text.remedy))


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        pytest.param(None, BEFORE, NOW, id="new"),
        pytest.param(BEFORE, replace(BEFORE, last_transition_time=LATER), NOW, id="the same"),
        pytest.param(
            BEFORE,
            replace(BEFORE, reason=Reason.VAULT_DENIED, message="403", last_transition_time=LATER),
            NOW,
            id="another reason",
        ),
        pytest.param(
            BEFORE, replace(BEFORE, status=ConditionStatus.TRUE, last_transition_time=LATER), LATER, id="another status"
        ),
    ],
)
def test_the_transition_time_dates_the_status(before: Condition | None, now: Condition, expected: object) -> None:
    """KEP-1623 defines it so."""
    (kept,) = keep_transition_times([now], {} if before is None else {before.type: before})

    assert expected == kept.last_transition_time
    assert now.reason is kept.reason
