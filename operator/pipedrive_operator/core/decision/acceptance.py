"""Which tokens are accepted: for the right account, as the successor of an accepted token, or again after a restart.

Pure. An accepted token may be published, so each rule here keeps a token of the wrong account out of the Secret.
"""

from datetime import datetime, timedelta

from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.token import Accepted, AccountProblem, Token, account_problem
from pipedrive_operator.core.publication.secret import desired_secret, differs, rendering_problem
from pipedrive_operator.core.publication.target import TargetSecret, belongs_to
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.backoff import fraction
from pipedrive_operator.core.values.conditions import ConditionStatus, ConditionType


def pinned_account(
    credential: Credential, accepted: Accepted | None, grant: Grant | None, *, allowed: frozenset[str] = frozenset()
) -> Account | None:
    """Return the account whose company is pinned, or None before the first accepted token.

    A consent that allows another company moves the pin to the account that it was verified for; `allowed` contains the
    uids of such consents for this credential.

    The status keeps the pin. `accepted` stands in until the status is written. The account that the grant's document
    names stands in where the status was lost, as after a restored backup of the cluster, and for a credential of
    another cluster.
    """
    if grant is not None and grant.account is not None and grant.consent in allowed:
        return grant.account
    if credential.status.account is not None:
        return credential.status.account
    if accepted is not None:
        return accepted.account
    return grant.account if grant is not None else None


def account_mismatch(
    credential: Credential,
    account: Account,
    *,
    accepted: Accepted | None,
    grant: Grant | None,
    allowed: frozenset[str] = frozenset(),
) -> AccountProblem | None:
    """Return why the account is not the one that the credential belongs to, or None."""
    pinned = pinned_account(credential, accepted, grant, allowed=allowed)
    return account_problem(credential.spec.account, account, pinned)


def inherited(grant: Grant | None, accepted: Accepted | None) -> Accepted | None:
    """Accept the successor of an accepted token: refreshed from the same grant, with an unchanged `api_domain`."""
    if grant is None or accepted is None or grant.token is None or not grant.continues(accepted.lineage):
        return None
    if grant.token.api_domain != accepted.token.api_domain:
        return None
    return Accepted(
        token=grant.token, account=accepted.account, verified_at=accepted.verified_at, lineage=grant.lineage
    )


def restored(
    credential: Credential,
    token: Token | None,
    target: TargetSecret | None,
    *,
    lineage: str | None,
    verified_at: datetime,
) -> Accepted | None:
    """Accept, after a restart, a token that the Secret already holds and that the status calls accepted."""
    authorized, account = credential.status.condition(ConditionType.AUTHORIZED), credential.status.account
    if token is None or account is None or authorized is None or authorized.status is not ConditionStatus.TRUE:
        return None
    candidate = Accepted(token=token, account=account, verified_at=verified_at, lineage=lineage)
    if rendering_problem(credential, candidate) is not None:
        return None
    if not belongs_to(target, credential) or differs(target, desired_secret(credential, candidate)):
        return None
    return candidate


def spread_verification(now: datetime, interval: timedelta, *, spread_by: str) -> datetime:
    """Return a past verification time for a restored token, so that a restart does not verify all tokens at once."""
    return now - interval * fraction(spread_by)
