"""Which tokens count as accepted without another question: an accepted one's successor, or what a restart finds."""

from datetime import datetime, timedelta

from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.token import Accepted, Token
from pipedrive_operator.core.publication.secret import desired_secret, differs, is_ours
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.values.backoff import fraction
from pipedrive_operator.core.values.conditions import ConditionStatus, ConditionType


def inherited(grant: Grant | None, accepted: Accepted | None) -> Accepted | None:
    """Accept the successor of an accepted token: refreshed from the same grant, for the company at the same address."""
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
    """Accept, after a restart, the token that the Secret already holds and that the status calls accepted."""
    authorized, account = credential.status.condition(ConditionType.AUTHORIZED), credential.status.account
    if token is None or account is None or authorized is None or authorized.status is not ConditionStatus.TRUE:
        return None
    candidate = Accepted(token=token, account=account, verified_at=verified_at, lineage=lineage)
    if not is_ours(target, credential) or differs(target, desired_secret(credential, candidate)):
        return None
    return candidate


def spread_verification(now: datetime, interval: timedelta, *, spread_by: str) -> datetime:
    """Return a past verification time for a restored token, so that a restart does not ask about all tokens at once."""
    return now - interval * fraction(spread_by)
