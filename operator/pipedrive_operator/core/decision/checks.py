"""The checks that the policy runs in order. Each has an opinion about one thing, or returns None."""

from datetime import datetime

from pipedrive_operator.core.decision.decision import Action, Decision
from pipedrive_operator.core.decision.observation import Observation, Requested
from pipedrive_operator.core.decision.timings import CONFLICT_RECHECK
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.consent import how_to_consent
from pipedrive_operator.core.grant.grant import missing_grant
from pipedrive_operator.core.publication.target import TargetSecret, has_lost_its_label
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.names import LABEL_CREDENTIAL
from pipedrive_operator.core.resource.spec import OAuth2
from pipedrive_operator.core.values.conditions import Reason


def is_suspended(seen: Observation) -> Decision | None:
    """Wait for as long as the owner asks."""
    if not seen.credential.spec.suspend:
        return None
    return _wait(Reason.SUSPENDED, "Suspended by spec.suspend: no refresh, no verification, no repair of the Secret")


def spec_is_invalid(seen: Observation) -> Decision | None:
    """Wait for a person to correct the spec."""
    return None if seen.problem is None else _wait(Reason.INVALID_SPEC, seen.problem.message)


def secret_needs_writing(seen: Observation) -> Decision | None:
    """Publish the newest accepted value if the Secret is not as desired, even while Vault is unavailable."""
    if seen.desired is None or not seen.is_publishable or seen.has_conflict or seen.write_failure is not None:
        return None
    if not seen.is_as_desired or seen.orphans_due:
        return Decision(action=Action.PUBLISH, reason=Reason.PUBLISHED, message="The Secret is not as desired")
    return None


def workloads_need_restart(seen: Observation) -> Decision | None:
    """Restart the workloads of spec.rollout for what was published; reading each one shows whether it may be."""
    if not seen.workloads_due:
        return None
    return Decision(action=Action.RESTART, reason=Reason.PUBLISHED, message="Workloads use values from before a change")


def refresh_is_in_progress(seen: Observation) -> Decision | None:
    """Wait for the keeper of grants, which wakes the credential."""
    match seen.refresh:
        case refresh_state.Refreshing(last=last) if last is not None and not seen.is_outdated(last):
            return _wait(last.trouble.reason, last.trouble.message)
        case refresh_state.Refreshing():
            return _standing_problem(seen) or _published_or(seen, "A refresh is in progress")
        case refresh_state.Unstored(trouble=trouble):
            return _wait(trouble.reason, trouble.message)
        case _:
            return None


def source_is_unreadable(seen: Observation) -> Decision | None:
    """Wait for Vault."""
    failure = seen.memory.source_failure
    return None if failure is None else _wait(failure.trouble.reason, failure.trouble.message, failure.retry_at)


def grant_is_missing(seen: Observation) -> Decision | None:
    """Wait for a person to consent or to seed the grant."""
    source = seen.memory.source
    if source is None or not seen.is_oauth2 or seen.memory.grant is not None:
        return None
    if seen.in_escrow or seen.memory.has_candidate:
        return None  # the first grant of a consent is there, and waits to be verified
    return _wait(Reason.GRANT_MISSING, missing_grant(source.location))


def refresh_failed_recently(seen: Observation) -> Decision | None:
    """Leave Pipedrive alone for a while after a failed refresh, unless Vault holds another refresh token.

    A request by annotation ends the pause after a refusal. It does not end the pause after an attempt without a usable
    answer: Pipedrive may have asked for it, or may still be processing the request.
    """
    match seen.refresh:
        case refresh_state.Refused() if seen.requested is not None:
            return None
        case refresh_state.Refused(trouble=trouble, retry_at=retry_at) as failure if seen.now < retry_at:
            is_outdated = seen.is_outdated(failure)
        case refresh_state.Unavailable(trouble=trouble, retry_at=retry_at) as failure if seen.now < retry_at:
            is_outdated = seen.is_outdated(failure) and _cause_of_refresh(seen) is None
        case _:
            return None
    return None if is_outdated else _wait(trouble.reason, trouble.message, retry_at)


def refresh_is_due(seen: Observation) -> Decision | None:
    """Refresh at the renewal time, on request, and once after Pipedrive rejected an unexpired token."""
    cause = _cause_of_refresh(seen) if seen.is_oauth2 else None
    return None if cause is None else Decision(action=Action.REFRESH, reason=Reason.PENDING, message=cause)


def verification_is_due(seen: Observation) -> Decision | None:
    """Verify a token that was never verified, whose last verification is too long ago or failed, or on request."""
    if seen.token is None:
        return None
    failure, digest = seen.memory.verify_failure, seen.token.value.digest()
    if failure is not None and failure.stands(digest, seen.now):
        return _wait(failure.trouble.reason, failure.trouble.message, failure.retry_at)
    has_failed = failure is not None and failure.subject == digest
    is_due = seen.verification is None or _is_past(seen.verification_at, seen.now) or seen.requested is not None
    if has_failed or is_due:
        return Decision(
            action=Action.VERIFY, reason=Reason.PENDING, message="A verification is in progress", token=seen.token
        )
    return None


def refresh_is_unresolved(seen: Observation) -> Decision | None:
    """Refresh again after the pause, even if that is not due: nobody knows whether the grant works."""
    if not seen.is_unresolved:
        return None
    message = "The last refresh was refused or unanswered, or could not be made as requested"
    return Decision(action=Action.REFRESH, reason=Reason.PENDING, message=message)


def account_is_wrong(seen: Observation) -> Decision | None:
    """Wait for a person to correct the token or the guard; the token is not published.

    An answer about a former token says nothing about another one in Vault: a consent may have moved the pin since.
    """
    verification = seen.verification
    if verification is None or verification.account is None:
        return None
    problem = seen.mismatch(verification.account)
    if problem is None:
        return None
    return _wait(Reason.WRONG_ACCOUNT, f"Not published: {problem.what}. {problem.remedy}")


def secret_cannot_be_rendered(seen: Observation) -> Decision | None:
    """Keep what is published, and refresh and verify as usual: another value may fit."""
    problem = seen.rendering_problem
    return None if problem is None else _wait(Reason.SECRET_WRITE_DENIED, problem)


def secret_belongs_to_another(seen: Observation) -> Decision | None:
    """Leave a foreign Secret alone."""
    if not seen.has_conflict or seen.target is None:
        return None
    lost_label = has_lost_its_label(seen.target)
    why = _why_unlabelled(seen.target, seen.credential) if lost_label else _why_foreign(seen.target, seen.credential)
    reason = Reason.SECRET_WRITE_DENIED if lost_label else Reason.SECRET_CONFLICT
    return _wait(reason, f"Secret {seen.target.key.name} {why}", seen.now + CONFLICT_RECHECK)


def secret_write_failed_recently(seen: Observation) -> Decision | None:
    """Wait before a failed write is repeated."""
    failure = seen.write_failure or seen.removal_failure
    return None if failure is None else _wait(failure.trouble.reason, failure.trouble.message, failure.retry_at)


def secret_keeps_changing(seen: Observation) -> Decision | None:
    """Go on in another pass if the Secret, or what it should hold, changed after each write of this one."""
    if Action.PUBLISH not in seen.spent or secret_needs_writing(seen) is None:
        return None
    name, namespace = seen.credential.target_name, seen.credential.key.namespace
    message = (
        f"Secret {name} was written several times in a row, and is not as desired: another program changes it, or its "
        "credential, at the same time. The operator tries again in a moment. Find that program (kubectl get secret "
        f"{name} -n {namespace} --show-managed-fields lists who set which field), and stop it"
    )
    return _wait(Reason.SECRET_WRITE_DENIED, message)


def scope_is_missing(seen: Observation) -> Decision | None:
    """Report that the workload lacks rights; the token is published nevertheless.

    It is the published token that counts: another one in Vault may not be verified yet, or be there only after a
    refresh.
    """
    oauth2, accepted = seen.credential.access, seen.memory.accepted
    if not isinstance(oauth2, OAuth2) or accepted is None:
        return None
    missing = seen.missing_scopes(accepted.token)
    if not missing:
        return None
    held = ", ".join(sorted(accepted.token.scope)) or "none"
    message = (
        f"The grant lacks {', '.join(missing)}, which spec.oauth2.requiredScopes asks for; it has {held}. Its token is "
        "published nevertheless. Add the scope to the app in Pipedrive's Developer Hub. "
        f"{how_to_consent(oauth2.grant.path)}"
    )
    return _wait(Reason.SCOPE_MISSING, message)


def nothing_to_do(seen: Observation) -> Decision:
    """Wait for the next refresh, verification or read of Vault."""
    return _published_or(seen, "Waiting for the first accepted value")


def _why_foreign(target: TargetSecret, credential: Credential) -> str:
    """Return why a Secret is left alone, and what to do: only one without a controller can be handed over."""
    if target.controller is not None:
        owner = f"{target.controller.get('kind', 'object')} {target.controller.get('name')}"
        return (
            f"is controlled by {owner} and is left unchanged. Choose another spec.target.name, or have {owner} write "
            "its Secret under another name"
        )
    return (
        "already exists, does not belong to this credential and is left unchanged. Choose another spec.target.name, "
        f"delete the Secret, or hand it over: kubectl annotate secret {target.key.name} -n {target.key.namespace} "
        f"pipedrive-operator.io/adopt={credential.key.name}"
    )


def _why_unlabelled(target: TargetSecret, credential: Credential) -> str:
    """Return why a Secret that the operator wrote is left alone: without its label, it may belong to anyone."""
    key = target.key
    return (
        f"has the operator's annotations but not the label {LABEL_CREDENTIAL}, without which it is left unchanged: an "
        "admission policy or webhook of the cluster removes the label, or a person did. Exempt the Secret from that "
        f"policy or webhook, then put the label back: kubectl label secret {key.name} -n {key.namespace} "
        f"{LABEL_CREDENTIAL}={credential.key.name}. If it is a copy of another Secret, choose another spec.target.name"
    )


def _wait(reason: Reason, message: str, until: datetime | None = None) -> Decision:
    return Decision(action=Action.WAIT, reason=reason, message=message, until=until)


def _standing_problem(seen: Observation) -> Decision | None:
    """Report what is wrong with the token, the Secret or the value in it: a refresh in progress is no news then."""
    return (
        account_is_wrong(seen)
        or secret_cannot_be_rendered(seen)
        or secret_write_failed_recently(seen)
        or secret_keeps_changing(seen)
        or secret_belongs_to_another(seen)
        or (scope_is_missing(seen) if seen.is_publishable else None)
    )


def _published_or(seen: Observation, otherwise: str) -> Decision:
    """Report what is published, if there is a value."""
    if not seen.is_publishable:
        return _wait(Reason.PENDING, otherwise)
    return _wait(Reason.PUBLISHED, f"Secret {seen.credential.target_name} holds a value that Pipedrive accepts")


def _cause_of_refresh(seen: Observation) -> str | None:
    memory = seen.memory
    was_rejected = memory.rejections == 1 and memory.verify_failure is not None
    causes = (
        (seen.in_escrow, "An earlier process left a refreshed grant in escrow"),
        (memory.has_candidate, "The grant of a consent waits to be verified"),
        (seen.token is None, "The grant has no access token"),
        (seen.requested is Requested.REFRESH, "A refresh was requested"),
        (seen.renewal is not None and _is_past(seen.renewal.at, seen.now), "The renewal time has come"),
        (was_rejected and seen.verification is not None, "Pipedrive rejected the access token before its expiry"),
    )
    return next((cause for holds, cause in causes if holds), None)


def _is_past(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and now >= moment
