"""Single checks of the policy, where the final decision does not show the result of the check."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.decision import checks
from pipedrive_operator.core.decision.decision import Action
from pipedrive_operator.core.decision.observation import Observation, Requested
from pipedrive_operator.core.decision.retry import Failure
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.token import Verification
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.resource.workload import Rollout, WorkloadKind, WorkloadReference, WorkloadStatus
from pipedrive_operator.core.values.conditions import Reason
from pipedrive_operator.core.values.errors import (
    ConsentRequired,
    GrantUnstored,
    PipedriveUnavailable,
    RefreshUncertain,
    TokenRejected,
    VaultUnavailable,
)
from support.builders import (
    NOW,
    TIMINGS,
    access_token,
    api_token,
    api_token_up_to_date,
    changed,
    grant,
    oauth2_up_to_date,
    published,
)
from support.decisions import failure

LATER = NOW + timedelta(minutes=1)
DIGEST = access_token().value.digest()
REFUSED = refresh_state.Refused(
    trouble=ConsentRequired("refused"), lineage=grant().lineage, access_digest=DIGEST, retry_at=LATER
)
UNAVAILABLE = refresh_state.Unavailable(trouble=PipedriveUnavailable("503"), access_digest=DIGEST, retry_at=LATER)
REPLACED = replace(UNAVAILABLE, access_digest="of another")
UNCERTAIN = replace(UNAVAILABLE, trouble=RefreshUncertain("no answer in time"))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(refresh_state.IDLE, None, id="idle"),
        pytest.param(refresh_state.Fresh(grant=grant(), asked_at=0.0, at=0.0, version=1), None, id="fresh"),
        pytest.param(refresh_state.Refreshing(), Reason.PUBLISHED, id="in progress"),
        pytest.param(refresh_state.Refreshing(last=REFUSED), Reason.CONSENT_REQUIRED, id="again after a refusal"),
        pytest.param(refresh_state.Refreshing(last=UNAVAILABLE), Reason.PIPEDRIVE_UNAVAILABLE, id="again, unavailable"),
        pytest.param(
            refresh_state.Refreshing(last=replace(REFUSED, lineage="of another")), Reason.PUBLISHED, id="another grant"
        ),
        pytest.param(refresh_state.Refreshing(last=REPLACED), Reason.PUBLISHED, id="refreshed by another holder since"),
        pytest.param(refresh_state.Unstored(trouble=GrantUnstored("sealed")), Reason.GRANT_ESCROWED, id="unstored"),
        pytest.param(REFUSED, None, id="refused"),
    ],
)
def test_a_refresh_in_progress_reports_how_the_last_one_failed(
    state: refresh_state.RefreshState, expected: Reason | None
) -> None:
    """Otherwise each try would be two changes of the status."""
    found = checks.refresh_is_in_progress(changed(oauth2_up_to_date(), refresh=state))

    assert expected is (found.reason if found is not None else None)


def test_a_refusal_says_nothing_while_vault_cannot_be_read() -> None:
    """A person may have consented since."""
    sealed = failure(VaultUnavailable("sealed"), "source")
    seen = changed(oauth2_up_to_date(), refresh=refresh_state.Refreshing(last=REFUSED), source_failure=sealed)

    found = checks.refresh_is_in_progress(seen)

    assert found is not None
    assert found.reason is Reason.PUBLISHED


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        pytest.param({"refresh": REFUSED}, True, id="refused"),
        pytest.param({"refresh": REFUSED, "requested": Requested.CHECK}, False, id="refused, and a check is requested"),
        pytest.param({"refresh": REFUSED, "grant": grant("12:34:new")}, False, id="another refresh token"),
        pytest.param({"refresh": replace(REFUSED, access_digest="of another")}, False, id="another access token"),
        pytest.param({"refresh": REFUSED, "now": LATER}, False, id="the pause is over"),
        pytest.param({"refresh": REFUSED, "grant": None}, True, id="there is a candidate alone"),
        pytest.param({"refresh": UNAVAILABLE}, True, id="unavailable"),
        pytest.param({"refresh": REPLACED}, False, id="another holder has refreshed the grant since"),
        pytest.param({"refresh": REPLACED, "token": None}, True, id="another holder has, and the token is missing"),
        pytest.param({"refresh": UNAVAILABLE, "requested": Requested.REFRESH}, True, id="Pipedrive asks to wait"),
        pytest.param({"refresh": UNAVAILABLE, "now": LATER}, False, id="worth another try"),
        pytest.param({"refresh": refresh_state.IDLE}, False, id="idle"),
    ],
)
def test_a_failed_refresh_is_left_alone_for_a_while(changes: dict[str, Any], *, waits: bool) -> None:
    """It is tried earlier if something has changed that may make it succeed."""
    assert waits is (checks.refresh_failed_recently(changed(oauth2_up_to_date(), **changes)) is not None)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        pytest.param({}, None, id="nothing to do"),
        pytest.param({"in_escrow": True}, "escrow", id="an escrow"),
        pytest.param({"token": None}, "no access token", id="a seeded grant"),
        pytest.param({"requested": Requested.REFRESH}, "requested", id="a refresh is requested"),
        pytest.param({"requested": Requested.CHECK}, None, id="a check is requested"),
        pytest.param({"now": NOW + timedelta(minutes=59)}, "renewal time", id="the renewal time"),
        pytest.param({"rejections": 1}, None, id="a rejection of an earlier token"),
    ],
)
def test_a_refresh_has_a_cause(changes: dict[str, Any], cause: str | None) -> None:
    """It is the message of the decision."""
    found = checks.refresh_is_due(changed(oauth2_up_to_date(), **changes))

    assert (cause is None) is (found is None)
    assert cause is None or cause in (found.message if found is not None else "")


@pytest.mark.parametrize(
    ("changes", "is_unresolved"),
    [
        pytest.param({"refresh": UNCERTAIN}, True, id="unanswered"),
        pytest.param(
            {"refresh": replace(UNCERTAIN, access_digest="of another")}, False, id="refreshed by another holder"
        ),
        pytest.param({"refresh": REFUSED}, True, id="refused"),
        pytest.param({"refresh": REFUSED, "grant": grant("12:34:new")}, False, id="another refresh token"),
        pytest.param({"refresh": UNAVAILABLE}, False, id="nothing was sent"),
        pytest.param({"refresh": replace(UNAVAILABLE, was_requested=True)}, True, id="nothing was sent as requested"),
    ],
)
def test_a_refresh_is_repeated_until_its_outcome_is_known(changes: dict[str, Any], *, is_unresolved: bool) -> None:
    """Even if it is not due, as after a request."""
    assert is_unresolved is (checks.refresh_is_unresolved(changed(oauth2_up_to_date(), **changes)) is not None)


def test_an_api_token_is_never_refreshed() -> None:
    """This holds even if a refresh is requested."""
    assert checks.refresh_is_due(changed(api_token_up_to_date(), requested=Requested.REFRESH)) is None
    assert checks.grant_is_missing(api_token_up_to_date()) is None


@pytest.mark.parametrize(
    "check",
    [
        checks.verification_is_due,
        checks.account_is_wrong,
        checks.secret_belongs_to_another,
        checks.secret_write_failed_recently,
        checks.scope_is_missing,
        checks.secret_needs_writing,
        checks.workloads_need_restart,
    ],
)
def test_a_check_decides_nothing_before_the_first_read_of_vault(check: Any) -> None:
    """Nothing is known about the credential yet."""
    seen = changed(
        oauth2_up_to_date(), token=None, grant=None, verification=None, accepted=None, read_at=None, target=None
    )

    assert check(seen) is None
    assert (Action.WAIT, Reason.PENDING) == ((found := checks.nothing_to_do(seen)).action, found.reason)


def behind() -> Observation:
    """Build an observation of a workload that is behind what is published."""
    seen = oauth2_up_to_date()
    web = WorkloadReference(kind=WorkloadKind.DEPLOYMENT, name="web")
    spec = replace(seen.credential.spec, rollout=Rollout(targets=(web,)))
    noted = WorkloadStatus(kind=web.kind, name=web.name, revision="old")
    status = replace(seen.credential.status, rollout=(noted,))
    credential = replace(seen.credential, spec=spec, status=status)
    assert seen.memory.accepted is not None
    return replace(
        seen,
        credential=credential,
        target=published(credential, seen.memory.accepted),
        timings=replace(TIMINGS, restart_interval=timedelta(minutes=10)),
    )


def test_a_workload_that_is_behind_is_restarted() -> None:
    """Once the Secret is as desired."""
    found = checks.workloads_need_restart(behind())

    assert found is not None
    assert Action.RESTART is found.action
    assert checks.workloads_need_restart(replace(behind(), target=None)) is None


def test_a_missing_scope_names_what_the_grant_has() -> None:
    """The message also says if the grant has no scope at all."""
    seen = oauth2_up_to_date(requiredScopes=["contacts:full"])

    assert seen.memory.accepted is not None
    accepted = seen.memory.accepted

    found = [
        checks.scope_is_missing(changed(seen, accepted=replace(accepted, token=replace(access_token(), scope=scope))))
        for scope in (frozenset({"base", "deals:full"}), frozenset[str](), frozenset({"contacts:full"}))
    ]

    assert found[2] is None
    assert ["it has base, deals:full", "it has none"] == [
        part for one in found[:2] if one is not None for part in one.message.split(". ")[0].split("; ")[1:]
    ]


def test_an_account_is_judged_only_by_an_answer_about_the_token_in_vault() -> None:
    """A consent that allows another company moves the pin before the first token of that company is verified.

    Vault may hold a new refresh token alone.
    """
    seen = oauth2_up_to_date()
    moved = replace(seen.credential, spec=replace(seen.credential.spec, account=AccountGuard(company_id=99)))

    found = [
        checks.account_is_wrong(changed(seen, credential=moved, token=token))
        for token in (access_token(), None, access_token("v1u:another"))
    ]

    assert [Reason.WRONG_ACCOUNT, None, None] == [one.reason if one else None for one in found]


def test_a_rejected_value_is_verified_again_after_its_pause() -> None:
    """The pause is shorter than the interval of verifications, so that a mistake of Pipedrive's is noticed soon."""
    refusal = TokenRejected("Pipedrive refused the token")
    rejected = changed(
        api_token_up_to_date(),
        verification=Verification(token=api_token(), at=NOW, trouble=refusal),
        verify_failure=Failure(trouble=refusal, subject=api_token().value.digest(), retry_at=LATER),
    )

    found = [checks.verification_is_due(changed(rejected, now=now)) for now in (NOW, LATER)]

    assert [decision.action for decision in found if decision is not None] == [Action.WAIT, Action.VERIFY]
