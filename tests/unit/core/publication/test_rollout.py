"""Restart on change: which workloads are behind, what is done about each, and what the status records."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.decision.decision import Action
from pipedrive_operator.core.decision.policy import decide
from pipedrive_operator.core.grant.token import Accepted
from pipedrive_operator.core.publication.rollout import (
    ANNOTATION_ALLOW_ROLLOUT,
    ANNOTATION_RESTARTED_AT,
    RestartPacing,
    RestartState,
    Result,
    Workload,
    due,
    first_records,
    judge,
    records,
    restart_patch,
)
from pipedrive_operator.core.publication.secret import desired_secret, differs, patch, revision
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.workload import WorkloadKind, WorkloadReference, WorkloadStatus
from pipedrive_operator.core.values.times import format_time
from support.builders import (
    ACCOUNT,
    API_TOKEN_SPEC,
    NOW,
    OAUTH2_SPEC,
    TIMINGS,
    access_token,
    api_token,
    changed,
    grant,
    published,
    readable,
    resource,
    up_to_date,
)

WEB = WorkloadReference(kind=WorkloadKind.DEPLOYMENT, name="web")
JOBS = WorkloadReference(kind=WorkloadKind.STATEFUL_SET, name="jobs")
PACE = RestartPacing(interval=timedelta(minutes=10), retry=timedelta(minutes=5))
OLD, REFRESHED, NEW = "one-a", "one-b", "two-c"
"""Revisions: REFRESHED differs from OLD by a refresh, NEW by more."""
ROLLED_OUT = "rollout.pipedrive-operator.io/acme"


def credential(
    has: Mapping[str, str] | None = None, *, on_refresh: bool = False, spec: dict[str, Any] = API_TOKEN_SPEC
) -> Credential:
    """Build a credential that restarts `web` and `jobs`, whose status notes these revisions."""
    targets = [{"kind": str(one.kind), "name": one.name} for one in (WEB, JOBS)]
    body = resource(spec | {"rollout": {"targets": targets, "onRefresh": on_refresh}})
    known = {one.name: one for one in (WEB, JOBS)}
    noted = [{"kind": str(known[name].kind), "name": name, "revision": value} for name, value in (has or {}).items()]
    return readable(body | {"status": {"rollout": noted}})


def workload(*, allows: str | None = "acme", **template: str) -> Workload:
    """Build a Deployment; `template` are annotations of its pod template."""
    return Workload(
        reference=WEB,
        namespace="crm",
        resource_version="7",
        annotations={} if allows is None else {ANNOTATION_ALLOW_ROLLOUT: allows},
        template_annotations=template,
    )


def standing(result: Result, revision: str = NEW, *, retry: timedelta | None = None) -> RestartState:
    """Build the state of `web`."""
    return RestartState(
        reference=WEB, revision=revision, result=result, retry_at=None if retry is None else NOW + retry
    )


@pytest.mark.parametrize(
    ("noted", "is_published", "on_refresh", "expected"),
    [
        (None, OLD, False, ()),
        (None, OLD, True, ()),
        (OLD, OLD, False, ()),
        (OLD, OLD, True, ()),
        (OLD, REFRESHED, False, ()),
        (OLD, REFRESHED, True, (WEB,)),
        (OLD, NEW, False, (WEB,)),
        (OLD, NEW, True, (WEB,)),
    ],
    ids=[
        "first sync",
        "first sync with onRefresh",
        "nothing new",
        "nothing new with onRefresh",
        "a refresh",
        "a refresh with onRefresh",
        "a change",
        "a change with onRefresh",
    ],
)
def test_a_workload_that_is_behind_is_due(
    noted: str | None, is_published: str, *, on_refresh: bool, expected: tuple[WorkloadReference, ...]
) -> None:
    """Never at the first sync, and for a refresh only where that is wanted."""
    seen = credential({} if noted is None else {"web": noted}, on_refresh=on_refresh)

    assert expected == due(seen, is_published, (), NOW)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (standing(Result.RESTARTED), ()),
        (standing(Result.CURRENT), ()),
        (standing(Result.ABSENT), ()),
        (standing(Result.DENIED, retry=timedelta(minutes=1)), ()),
        (standing(Result.DENIED, retry=timedelta(0)), (WEB,)),
        (standing(Result.RESTARTED, revision=OLD), (WEB,)),
    ],
    ids=["restarted", "found current", "absent", "denied just now", "denied a while ago", "restarted for another"],
)
def test_a_handled_workload_is_not_due(before: RestartState, expected: tuple[WorkloadReference, ...]) -> None:
    """Never again once it is concluded, otherwise not before its retry; a newer revision is due at once."""
    assert expected == due(credential({"web": OLD}), NEW, (before,), NOW)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (workload(), Result.RESTARTED),
        (workload(allows=" other, acme "), Result.RESTARTED),
        (workload(**{ROLLED_OUT: OLD}), Result.RESTARTED),
        (workload(**{ROLLED_OUT: NEW}), Result.CURRENT),
        (workload(**{ROLLED_OUT: NEW}, allows=None), Result.CURRENT),
        (workload(**{ROLLED_OUT: "two-d"}), Result.CURRENT),
        (workload(allows=None), Result.DENIED),
        (workload(allows="true"), Result.DENIED),
        (workload(allows="acme-2"), Result.DENIED),
        (workload(**{ANNOTATION_RESTARTED_AT: "2026-03-04T11:50:01Z"}), Result.DEFERRED),
        (workload(**{ANNOTATION_RESTARTED_AT: "2026-03-04T11:50:00Z"}), Result.RESTARTED),
        (workload(**{ANNOTATION_RESTARTED_AT: "2026-03-04T12:00:05Z"}), Result.DEFERRED),
        (workload(**{ANNOTATION_RESTARTED_AT: "2036-03-04T12:00:00Z"}), Result.RESTARTED),
        (workload(**{ANNOTATION_RESTARTED_AT: "yesterday"}), Result.RESTARTED),
    ],
    ids=[
        "allowed",
        "allowed among others",
        "restarted for an earlier one",
        "restarted already",
        "restarted already, and no longer allowed",
        "restarted already, and refreshed since",
        "not allowed",
        "allowed for no credential",
        "allowed to another",
        "restarted just now",
        "restarted long enough ago",
        "restarted by a clock that is ahead",
        "restarted in a far future",
        "restarted at no time",
    ],
)
def test_what_is_done_about_a_workload(found: Workload, expected: Result) -> None:
    """Its own annotations decide."""
    assert expected is judge(found, credential({"web": OLD}), NEW, now=NOW, pacing=PACE).result


def test_a_workload_that_waits_says_until_when_and_what_to_do() -> None:
    """People read it in the message of Ready."""
    denied = judge(workload(allows=None), credential({"web": OLD}), NEW, now=NOW, pacing=PACE)
    recent = workload(**{ANNOTATION_RESTARTED_AT: format_time(NOW - timedelta(minutes=4))})
    deferred = judge(recent, credential({"web": OLD}), NEW, now=NOW, pacing=PACE)

    assert (NOW + PACE.retry, NOW + timedelta(minutes=6)) == (denied.retry_at, deferred.retry_at)
    assert "pipedrive-operator.io/allow-rollout: acme" in denied.message
    assert (
        "Deployment web was not restarted: it was last restarted at 2026-03-04T11:56:00Z, and the next restart comes "
        "10m after that" in deferred.message
    )


def test_a_restart_is_a_change_of_the_pod_template_alone() -> None:
    """It names the version that was read, and changes nothing else."""
    expected = {
        "metadata": {"resourceVersion": "7"},
        "spec": {
            "template": {
                "metadata": {"annotations": {ROLLED_OUT: NEW, ANNOTATION_RESTARTED_AT: "2026-03-04T12:00:00Z"}}
            }
        },
    }

    assert expected == restart_patch(workload(), credential(), NEW, NOW)


@pytest.mark.parametrize(
    ("has", "is_published", "restart_states", "expected"),
    [
        ({}, None, (), {}),
        ({}, OLD, (), {"web": OLD, "jobs": OLD}),
        ({"web": OLD, "jobs": OLD}, REFRESHED, (), {"web": REFRESHED, "jobs": REFRESHED}),
        ({"web": OLD, "jobs": OLD}, NEW, (), {"web": OLD, "jobs": OLD}),
        ({"web": OLD, "jobs": OLD}, NEW, (standing(Result.RESTARTED),), {"web": NEW, "jobs": OLD}),
        ({"web": OLD, "jobs": OLD}, NEW, (standing(Result.ABSENT),), {"web": NEW, "jobs": OLD}),
        ({"web": OLD, "jobs": OLD}, NEW, (standing(Result.DENIED),), {"web": OLD, "jobs": OLD}),
        ({"web": OLD}, NEW, (), {"web": OLD, "jobs": NEW}),
        ({"web": OLD, "jobs": OLD}, None, (), {"web": OLD, "jobs": OLD}),
    ],
    ids=[
        "nothing is published",
        "first sync",
        "a refresh",
        "a change",
        "one is restarted",
        "one is absent",
        "one is denied",
        "a new target",
        "an outage",
    ],
)
def test_what_the_status_records(
    has: dict[str, str], is_published: str | None, restart_states: tuple[RestartState, ...], expected: dict[str, str]
) -> None:
    """A workload's note moves on once nothing is left to do for it."""
    assert expected == {one.name: one.revision for one in records(credential(has), is_published, restart_states)}


@pytest.mark.parametrize(
    ("has", "held", "expected"),
    [
        ({}, OLD, {"web": OLD, "jobs": OLD}),
        ({"web": "zero-x"}, OLD, {"web": "zero-x", "jobs": OLD}),
        ({}, None, None),
        ({}, NEW, None),
        ({"web": OLD, "jobs": OLD}, OLD, None),
    ],
    ids=["nothing noted", "one noted", "no revision on the Secret", "the same revision", "all noted"],
)
def test_what_is_recorded_before_a_secret_is_overwritten(
    has: dict[str, str], held: str | None, expected: dict[str, str] | None
) -> None:
    """A workload that the status has not recorded gets the revision of the Secret."""
    found = first_records(credential(has), held, NEW)

    assert expected == (None if found is None else {one.name: one.revision for one in found})


ACCEPTED = Accepted(token=access_token(), account=ACCOUNT, verified_at=NOW)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (replace(ACCEPTED, token=access_token("v1u:next", expires_at=NOW + timedelta(hours=2))), (True, False)),
        (replace(ACCEPTED, token=access_token(scope=frozenset({"base"}))), (False, False)),
        (replace(ACCEPTED, token=access_token(api_domain="https://other.pipedrive.com")), (False, False)),
        (replace(ACCEPTED, account=replace(ACCOUNT, user_id=35)), (False, False)),
        (replace(ACCEPTED, account=replace(ACCOUNT, company_domain="acme-inc")), (False, False)),
        (replace(ACCEPTED, verified_at=NOW + timedelta(hours=1), lineage="x"), (True, True)),
    ],
    ids=["a refresh", "other scopes", "another address", "another user", "a renamed company", "a verification"],
)
def test_a_revision_has_a_part_that_a_refresh_leaves_unchanged(changed: Accepted, expected: tuple[bool, bool]) -> None:
    """Another part changes with every value."""
    one = revision(credential(spec=OAUTH2_SPEC), ACCEPTED).split("-")
    other = revision(credential(spec=OAUTH2_SPEC), changed).split("-")

    assert expected == (one[0] == other[0], one[1] == other[1])


def test_a_revision_depends_on_the_template_and_reveals_nothing() -> None:
    """It does not depend on the time, and differs between credentials."""
    accepted = Accepted(token=api_token(), account=ACCOUNT, verified_at=NOW)
    templated = API_TOKEN_SPEC | {"target": {"data": {".env": "A=$(api_token)"}}}
    plain = revision(credential(), accepted)
    elsewhere = replace(credential(), key=replace(credential().key, namespace="elsewhere"))

    assert plain == revision(credential(), accepted)
    assert 4 == len({plain, revision(credential(spec=templated), accepted), revision(elsewhere, accepted), "x"})
    assert api_token().value.reveal() not in plain


def test_the_secret_has_its_revision_as_long_as_it_has_a_rollout() -> None:
    """It is removed with `spec.rollout`, so that a later rollout does not start with an outdated one."""
    accepted = Accepted(token=api_token(), account=ACCOUNT, verified_at=NOW)
    held = published(credential(), accepted)
    without = readable(resource(API_TOKEN_SPEC))

    assert revision(credential(), accepted) == held.annotations["pipedrive-operator.io/revision"]
    change = patch(held, desired_secret(without, accepted))
    assert {"pipedrive-operator.io/revision": None} == change["metadata"]["annotations"]
    assert not differs(published(without, accepted), desired_secret(without, accepted))


ANOTHERS = replace(published(credential(), ACCEPTED), owner_references=({"uid": "another", "controller": True},))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Action.RESTART),
        ({"timings": TIMINGS}, Action.WAIT),
        ({"target": None}, Action.PUBLISH),
        ({"target": ANOTHERS}, Action.WAIT),
        ({"accepted_was_rejected": True}, Action.WAIT),
        ({"namespace_is_terminating": True}, None),
    ],
    ids=["published", "not enabled", "not published", "of another", "refused", "a terminating namespace"],
)
def test_the_policy_restarts_after_the_secret_is_published(changes: dict[str, Any], expected: Action | None) -> None:
    """Restarts do not wait for Vault."""
    behind = credential({"web": "zero-x"}, spec=OAUTH2_SPEC)
    seen = replace(
        up_to_date(behind, access_token(), grant()), timings=replace(TIMINGS, restart_interval=PACE.interval)
    )
    decision = decide(changed(seen, **changes))

    assert expected is (None if decision is None else decision.action)


def test_a_wait_ends_when_a_workload_may_be_restarted() -> None:
    """This can be long before the next poll."""
    behind = credential({"web": "zero-x", "jobs": "zero-x"}, spec=OAUTH2_SPEC)
    seen = replace(
        up_to_date(behind, access_token(), grant()), timings=replace(TIMINGS, restart_interval=PACE.interval)
    )
    assert seen.published_revision is not None
    soon = standing(Result.DEFERRED, seen.published_revision, retry=timedelta(seconds=9))
    done = replace(soon, reference=JOBS, result=Result.RESTARTED, retry_at=None)

    decision = decide(changed(seen, restart_states=(soon, done)))

    assert decision is not None
    assert (Action.WAIT, NOW + timedelta(seconds=9)) == (decision.action, decision.until)


def test_a_workload_has_one_record() -> None:
    """A workload that is no longer a target loses it."""
    only_web = credential({"web": OLD})
    assert only_web.spec.rollout is not None
    spec = replace(only_web.spec, rollout=replace(only_web.spec.rollout, targets=(JOBS,)))

    expected = (WorkloadStatus(kind=JOBS.kind, name=JOBS.name, revision=NEW),)
    assert expected == records(replace(only_web, spec=spec), NEW, ())
