"""The checks that the policy asks in order: each has an opinion about one thing, or none."""

from datetime import datetime

from pipedrive_operator.core.decision.decision import Action, Decision
from pipedrive_operator.core.decision.observation import CONFLICT_RECHECK, Observation, Requested, account_mismatch
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.token import Token, Verification
from pipedrive_operator.core.publication.secret import DesiredSecret, differs
from pipedrive_operator.core.values.conditions import Reason


def is_suspended(seen: Observation) -> Decision | None:
    """Wait for as long as the owner asks."""
    if seen.credential.spec is None or not seen.credential.spec.suspend:
        return None
    return _wait(Reason.SUSPENDED, "Suspended by spec.suspend: no refresh, no verification, no repair of the Secret")


def spec_is_wrong(seen: Observation) -> Decision | None:
    """Ask a person to mend the spec."""
    return None if seen.problem is None else _wait(Reason.INVALID_SPEC, seen.problem.message)


def secret_is_to_be_written(seen: Observation) -> Decision | None:
    """Publish the newest accepted value wherever the Secret is not as it should be, also while Vault is away."""
    desired = seen.desired
    if desired is None or not seen.publishable or seen.conflict or _publishing_failed_recently(seen, desired):
        return None
    if differs(seen.target, desired) or seen.orphans:
        return Decision(action=Action.PUBLISH, reason=Reason.PUBLISHED, message="The Secret is not as it should be")
    return None


def workloads_are_behind(seen: Observation) -> Decision | None:
    """Restart the workloads of spec.rollout for what was published; whether one may be is seen when it is read."""
    if not seen.workloads_due:
        return None
    return Decision(action=Action.RESTART, reason=Reason.PUBLISHED, message="Workloads have read what was there before")


def source_cannot_be_read(seen: Observation) -> Decision | None:
    """Wait for Vault."""
    failure = seen.source_failure
    return None if failure is None else _wait(failure.trouble.reason, failure.trouble.message, failure.retry_at)


def refresh_is_under_way(seen: Observation) -> Decision | None:
    """Wait for the keeper of grants, who wakes us."""
    match seen.refresh:
        case refresh_state.Refreshing(
            last=refresh_state.Refused(trouble=trouble) | refresh_state.Unavailable(trouble=trouble)
        ):
            return _wait(trouble.reason, trouble.message)
        case refresh_state.Refreshing():
            return _wait(*_calm(seen, "A refresh is under way"))
        case refresh_state.Unstored(trouble=trouble):
            return _wait(trouble.reason, trouble.message)
        case _:
            return None


def grant_is_missing(seen: Observation) -> Decision | None:
    """Wait for a person to consent or to seed the grant."""
    if not seen.is_oauth2 or seen.grant is not None:
        return None
    return _wait(Reason.GRANT_MISSING, "Vault holds no refresh_token at the grant's path: consent, or write one there")


def refresh_failed_recently(seen: Observation) -> Decision | None:
    """Leave Pipedrive alone for a while after a failed refresh, unless Vault holds another refresh token.

    Who asks for it is heard at once, but for what Pipedrive itself asked to wait for.
    """
    match seen.refresh:
        case refresh_state.Refused() if seen.requested is not None:
            return None
        case refresh_state.Refused(trouble=trouble, lineage=lineage, retry_at=retry_at) if (
            seen.grant is not None and lineage == seen.grant.lineage and seen.now < retry_at
        ):
            return _wait(trouble.reason, trouble.message, retry_at)
        case refresh_state.Unavailable(trouble=trouble, retry_at=retry_at) if seen.now < retry_at:
            return _wait(trouble.reason, trouble.message, retry_at)
        case _:
            return None


def refresh_is_due(seen: Observation) -> Decision | None:
    """Refresh at the renewal time, when asked to, and once after Pipedrive refused an unexpired token."""
    why = _why_refresh(seen) if seen.is_oauth2 else None
    return None if why is None else Decision(action=Action.REFRESH, reason=Reason.PENDING, message=why)


def verification_is_due(seen: Observation) -> Decision | None:
    """Ask Pipedrive about a value that it was not asked about yet, or not for long."""
    if seen.token is None:
        return None
    failure = seen.verify_failure
    if failure is not None and failure.stands(seen.token.value.digest(), seen.now):
        return _wait(failure.trouble.reason, failure.trouble.message, failure.retry_at)
    if (
        not _knows(seen.verification, seen.token)
        or _is_past(seen.verification_at, seen.now)
        or seen.requested is not None
    ):
        return _verify(seen.token)
    return None


def account_is_wrong(seen: Observation) -> Decision | None:
    """Ask a person to mend the account or the guard; the value is not published."""
    answer = seen.verification
    if answer is None or answer.account is None:
        return None
    problem = account_mismatch(seen.credential, answer.account)
    return None if problem is None else _wait(Reason.WRONG_ACCOUNT, f"Not published: {problem}")


def secret_is_anothers(seen: Observation) -> Decision | None:
    """Leave a foreign Secret alone."""
    if not seen.conflict or seen.target is None:
        return None
    name = seen.target.key.name
    message = (
        f"Secret {name} exists and is not this credential's; it is left as it is. Choose another spec.target.name, "
        f"delete the Secret, or hand it over: kubectl annotate secret {name} -n {seen.target.key.namespace} "
        f"pipedrive-operator.io/adopt={seen.credential.key.name}"
    )
    return _wait(Reason.SECRET_CONFLICT, message, seen.now + CONFLICT_RECHECK)


def secret_cannot_be_written(seen: Observation) -> Decision | None:
    """Wait after the API server forbade the write."""
    desired, failure = seen.desired, seen.publish_failure
    if desired is None or failure is None or not failure.stands(desired.digest, seen.now):
        return None
    return _wait(failure.trouble.reason, failure.trouble.message, failure.retry_at)


def scope_is_missing(seen: Observation) -> Decision | None:
    """Say that the workload will miss rights; the value is published all the same."""
    spec, token = seen.credential.spec, seen.token
    if spec is None or spec.oauth2 is None or token is None:
        return None
    missing = sorted(set(spec.oauth2.required_scopes) - token.scope)
    if not missing:
        return None
    message = (
        f"The grant lacks {', '.join(missing)}; it has {', '.join(sorted(token.scope)) or 'none'}. "
        "Add the scope to the app in Pipedrive's Developer Hub, and consent again"
    )
    return _wait(Reason.SCOPE_MISSING, message)


def all_is_well(seen: Observation) -> Decision:
    """Wait for the next renewal, verification or poll."""
    return _wait(*_calm(seen, "Waiting for the first accepted value"))


def _wait(reason: Reason, message: str, until: datetime | None = None) -> Decision:
    return Decision(action=Action.WAIT, reason=reason, message=message, until=until)


def _verify(token: Token) -> Decision:
    return Decision(action=Action.VERIFY, reason=Reason.PENDING, message="Pipedrive is to be asked", token=token)


def _calm(seen: Observation, otherwise: str) -> tuple[Reason, str]:
    """Report what is published, if it may be; a refresh under way is no news then."""
    if seen.publishable:
        return Reason.PUBLISHED, f"Secret {seen.credential.target_name} holds a value that Pipedrive accepts"
    return Reason.PENDING, otherwise


def _why_refresh(seen: Observation) -> str | None:
    if seen.in_escrow:
        return "What an earlier process won is in escrow"
    if seen.token is None:
        return "The grant has no access token"
    if seen.requested is Requested.REFRESH:
        return "A refresh was requested"
    if seen.renewal is not None and _is_past(seen.renewal.at, seen.now):
        return "The renewal time has come"
    if seen.refusals == 1 and _knows(seen.verification, seen.token) and seen.verify_failure is not None:
        return "Pipedrive refused the access token before its expiry"
    return None


def _knows(verification: Verification | None, token: Token) -> bool:
    return verification is not None and verification.token.value == token.value


def _is_past(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and now >= moment


def _publishing_failed_recently(seen: Observation, desired: DesiredSecret) -> bool:
    return seen.publish_failure is not None and seen.publish_failure.stands(desired.digest, seen.now)
