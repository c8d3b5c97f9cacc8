"""Which tokens are accepted without asking Pipedrive again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.decision.acceptance import (
    account_mismatch,
    inherited,
    pinned_account,
    restored,
    spread_verification,
)
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.token import Accepted, Token
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.resource.status import Account, Status
from pipedrive_operator.core.values.conditions import Condition, ConditionStatus, ConditionType, Reason
from support.builders import ACCOUNT, NOW, access_token, api_token, api_token_credential, grant, published

ACCEPTED = Accepted(token=access_token(), account=ACCOUNT, verified_at=NOW, lineage=grant().lineage)
SUCCESSOR = replace(grant("12:34:second"), token=access_token("v1u:second"), refreshed_from=grant().lineage)


def moved(held: Grant, domain: str) -> Grant:
    """Build a grant whose token is for another address."""
    assert held.token is not None
    return replace(held, token=replace(held.token, api_domain=domain))


@pytest.mark.parametrize(
    ("held", "accepted", "expected"),
    [
        pytest.param(SUCCESSOR, ACCEPTED, "v1u:second", id="its successor"),
        pytest.param(grant(), ACCEPTED, "v1u:access", id="itself"),
        pytest.param(replace(SUCCESSOR, refreshed_from="another"), ACCEPTED, None, id="of another descent"),
        pytest.param(replace(SUCCESSOR, token=None), ACCEPTED, None, id="without an access token"),
        pytest.param(moved(SUCCESSOR, "https://x.pipedrive.com"), ACCEPTED, None, id="another api_domain"),
        pytest.param(SUCCESSOR, replace(ACCEPTED, lineage=None), None, id="an accepted API token"),
        pytest.param(None, ACCEPTED, None, id="no grant"),
        pytest.param(SUCCESSOR, None, None, id="nothing accepted before"),
    ],
)
def test_a_successor_inherits_the_account(held: Grant | None, accepted: Accepted | None, expected: str | None) -> None:
    """A refresh cannot lead to another company, so a renewal costs no verification."""
    found = inherited(held, accepted)

    assert expected == (found.token.value.reveal() if found is not None else None)
    assert found is None or (found.account, found.verified_at) == (ACCOUNT, NOW)


def reported(status: ConditionStatus | None, *, account: Account | None = ACCOUNT) -> Credential:
    """Build a credential whose status reports a token as accepted, or not."""
    conditions = (
        ()
        if status is None
        else (
            Condition(
                type=ConditionType.AUTHORIZED,
                status=status,
                reason=Reason.ACCEPTED,
                message="",
                observed_generation=1,
                last_transition_time=NOW,
            ),
        )
    )
    return replace(api_token_credential(), status=Status(conditions=conditions, account=account))


CREDENTIAL = reported(ConditionStatus.TRUE)
SECRET = published(CREDENTIAL, Accepted(token=api_token(), account=ACCOUNT, verified_at=NOW))


@pytest.mark.parametrize(
    ("credential", "token", "target", "is_restored"),
    [
        pytest.param(CREDENTIAL, api_token(), SECRET, True, id="published and accepted"),
        pytest.param(reported(None), api_token(), SECRET, False, id="never reported"),
        pytest.param(reported(ConditionStatus.FALSE), api_token(), SECRET, False, id="rejected before"),
        pytest.param(reported(ConditionStatus.UNKNOWN), api_token(), SECRET, False, id="unknown before"),
        pytest.param(reported(ConditionStatus.TRUE, account=None), api_token(), SECRET, False, id="no account"),
        pytest.param(CREDENTIAL, None, SECRET, False, id="nothing in Vault"),
        pytest.param(CREDENTIAL, api_token("b" * 40), SECRET, False, id="another token in Vault"),
        pytest.param(CREDENTIAL, api_token(), None, False, id="no Secret"),
        pytest.param(CREDENTIAL, api_token(), replace(SECRET, labels={}), False, id="an edited Secret"),
        pytest.param(
            CREDENTIAL,
            api_token(),
            replace(SECRET, owner_references=({"uid": "x", "controller": True},)),
            False,
            id="a Secret of someone else",
        ),
    ],
)
def test_a_restart_accepts_what_was_published_and_reported(
    credential: Credential, token: Token | None, target: TargetSecret | None, *, is_restored: bool
) -> None:
    """Anything else is verified again."""
    found = restored(credential, token, target, lineage=None, verified_at=NOW)

    assert is_restored is (found is not None)


def test_a_restart_spreads_the_verifications() -> None:
    """Over one interval, and each credential keeps its place."""
    times = {spread_verification(NOW, timedelta(hours=1), spread_by=str(number)) for number in range(100)}

    assert len(times) > 90
    assert all(NOW - timedelta(hours=1) < moment <= NOW for moment in times)


OTHER = Account(company_id=99, company_domain="other", user_id=7)


RENAMED = replace(ACCOUNT, company_domain="renamed")
TAKES_THE_DOMAIN = replace(OTHER, company_domain="acme")


@pytest.mark.parametrize(
    ("guard", "account", "pinned", "named"),
    [
        pytest.param(None, OTHER, None, None, id="no guard and no pin"),
        pytest.param(None, ACCOUNT, ACCOUNT, None, id="the pinned company"),
        pytest.param(None, RENAMED, ACCOUNT, None, id="the pinned company, renamed"),
        pytest.param(None, replace(ACCOUNT, user_id=7), ACCOUNT, None, id="another user of the pinned company"),
        pytest.param(None, OTHER, ACCOUNT, "acme (id 12)", id="another company than the pinned one"),
        pytest.param(None, TAKES_THE_DOMAIN, ACCOUNT, "acme (id 12)", id="another company with the pinned domain"),
        pytest.param(AccountGuard(company_domain="acme"), ACCOUNT, None, None, id="the domain"),
        pytest.param(AccountGuard(company_domain="acme"), OTHER, None, "companyDomain", id="another domain"),
        pytest.param(AccountGuard(company_domain="acme"), RENAMED, ACCOUNT, None, id="a renamed company"),
        pytest.param(AccountGuard(company_domain="acme"), OTHER, ACCOUNT, "companyDomain", id="another than before"),
        pytest.param(
            AccountGuard(company_domain="acme"),
            TAKES_THE_DOMAIN,
            ACCOUNT,
            "id 99",
            id="another company took the domain",
        ),
        pytest.param(AccountGuard(company_domain="other"), OTHER, ACCOUNT, None, id="the guard was edited"),
        pytest.param(AccountGuard(company_id=12), ACCOUNT, None, None, id="the company's id"),
        pytest.param(AccountGuard(company_id=12), OTHER, None, "companyId", id="another id"),
        pytest.param(AccountGuard(company_id=99), OTHER, ACCOUNT, None, id="the guard names the new id"),
        pytest.param(AccountGuard(user_id=34), ACCOUNT, None, None, id="the user's id"),
        pytest.param(AccountGuard(user_id=7), OTHER, ACCOUNT, "acme (id 12)", id="a user's id does not move the pin"),
        pytest.param(AccountGuard(company_id=99, user_id=34), OTHER, None, "userId", id="another user"),
    ],
)
def test_guard_and_pin_name_what_does_not_match(
    guard: AccountGuard | None, account: Account, pinned: Account | None, named: str | None
) -> None:
    """A token of the wrong account is never published."""
    problem = account_mismatch(credential_of(guard, pinned), account, accepted=None, grant=None)

    assert (named is None) is (problem is None)
    assert named is None or (problem is not None and named in problem.what)


def credential_of(guard: AccountGuard | None, pinned: Account | None) -> Credential:
    """Build a credential with a guard, and with an account in its status."""
    before = api_token_credential()
    return replace(before, spec=replace(before.spec, account=guard), status=Status(account=pinned))


@pytest.mark.parametrize(
    ("pinned", "accepted", "held", "expected"),
    [
        pytest.param(None, None, None, None, id="nothing known"),
        pytest.param(ACCOUNT, replace(ACCEPTED, account=OTHER), replace(grant(), account=OTHER), ACCOUNT, id="status"),
        pytest.param(None, ACCEPTED, replace(grant(), account=OTHER), ACCOUNT, id="accepted and not reported yet"),
        pytest.param(None, None, replace(grant(), account=OTHER), OTHER, id="the status was lost"),
    ],
)
def test_the_pin_is_in_the_status_and_survives_its_loss(
    pinned: Account | None, accepted: Accepted | None, held: Grant | None, expected: Account | None
) -> None:
    """Otherwise a restored backup of the cluster, or a denied status, would allow any company again."""
    assert expected == pinned_account(credential_of(None, pinned), accepted, held)
