"""The policy: what to do next for one credential, decided from what was observed and from nothing else.

`decide` asks an ordered tuple of small checks; the first that has an opinion wins.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import cached_property
from typing import Final

from pipedrive_operator.core import flight as flights
from pipedrive_operator.core import rollout
from pipedrive_operator.core.conditions import Reason
from pipedrive_operator.core.credential import Account, Credential
from pipedrive_operator.core.errors import InvalidSpec
from pipedrive_operator.core.grant import Grant
from pipedrive_operator.core.renewal import Renewal, renewal, verification_time
from pipedrive_operator.core.retry import Setback
from pipedrive_operator.core.secret import DesiredSecret, desired_secret, differs, is_ours
from pipedrive_operator.core.target import TargetSecret, may_be_adopted
from pipedrive_operator.core.token import Accepted, Answer, Token, account_problem
from pipedrive_operator.core.workload import WorkloadReference

CONFLICT_RECHECK: Final = timedelta(minutes=1)
"""How often to look whether a foreign Secret has gone: nothing tells us, for we do not watch foreign Secrets."""


class Action(Enum):
    """What the reconciler can do."""

    REFRESH = auto()
    VERIFY = auto()
    PUBLISH = auto()
    RESTART = auto()
    WAIT = auto()


class Asked(Enum):
    """What a person asked for by annotation, once."""

    CHECK = auto()
    REFRESH = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """How often things are looked at again."""

    poll_interval: timedelta
    verify_interval: timedelta
    restart_interval: timedelta | None = None
    """The least time between two restarts of a workload; None where none may be restarted at all."""

    @property
    def restarts(self) -> rollout.Pace | None:
        """How often workloads are restarted, if they may be."""
        if self.restart_interval is None:
            return None
        return rollout.Pace(interval=self.restart_interval, retry=self.poll_interval)


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Everything that was read before deciding, the time included."""

    now: datetime
    credential: Credential
    timings: Timings
    problem: InvalidSpec | None = None
    namespace_is_going: bool = False
    read_at: datetime | None = None
    """When Vault was last read for this credential."""
    source_setback: Setback | None = None
    grant: Grant | None = None
    token: Token | None = None
    """What Vault holds."""
    answer: Answer | None = None
    """Pipedrive's last word on that token."""
    good: Accepted | None = None
    """The newest accepted token: what is, or is to be, published."""
    good_is_refused: bool = False
    """Pipedrive has since refused it."""
    refusals: int = 0
    """How many tokens in a row Pipedrive has refused before their expiry."""
    verify_setback: Setback | None = None
    flight: flights.Flight = flights.IDLE
    in_escrow: bool = False
    """An earlier process has left in escrow what a refresh won."""
    target: TargetSecret | None = None
    strays: tuple[TargetSecret, ...] = ()
    """Secrets that we control under a name that is no longer wanted."""
    publish_setback: Setback | None = None
    standings: tuple[rollout.Standing, ...] = ()
    """What came of the last looks at the workloads of spec.rollout."""
    asked: Asked | None = None

    @property
    def is_oauth2(self) -> bool:
        """Whether the credential is an OAuth2 grant."""
        return self.credential.spec is not None and self.credential.spec.oauth2 is not None

    @property
    def publishable(self) -> bool:
        """Whether there is a value that may be published now."""
        if self.good is None or self.good_is_refused or self.good.token.expired(self.now):
            return False
        return account_mismatch(self.credential, self.good.account) is None

    @cached_property
    def desired(self) -> DesiredSecret | None:
        """The Secret that should be there, where a value is known for it."""
        return None if self.good is None else desired_secret(self.credential, self.good)

    @property
    def published_revision(self) -> str | None:
        """The revision that the Secret holds, where it is as it should be and workloads may be restarted for it."""
        desired = self.desired
        if desired is None or self.timings.restart_interval is None or not self.publishable:
            return None
        return desired.revision if is_ours(self.target, self.credential) and not differs(self.target, desired) else None

    @property
    def workloads_due(self) -> tuple[WorkloadReference, ...]:
        """The workloads that are to be looked at, since they are behind what is published."""
        revision = self.published_revision
        return () if revision is None else rollout.due(self.credential, revision, self.standings, self.now)

    @property
    def conflict(self) -> bool:
        """Whether the target belongs to somebody else."""
        target, credential = self.target, self.credential
        return target is not None and not is_ours(target, credential) and not may_be_adopted(target, credential)

    @property
    def renewal(self) -> Renewal | None:
        """When what Vault holds is to be refreshed."""
        spec = self.credential.spec
        if self.token is None or self.grant is None or spec is None or spec.oauth2 is None:
            return None
        return renewal(self.token, spec.oauth2.renew_before, spread_by=self.grant.lineage)

    @property
    def verification_at(self) -> datetime | None:
        """When Pipedrive is to be asked again about what Vault holds."""
        if self.answer is None:
            return None
        return verification_time(self.answer.at, self.timings.verify_interval, spread_by=self.credential.uid)

    @property
    def poll_at(self) -> datetime | None:
        """When Vault is to be read again."""
        return None if self.read_at is None else self.read_at + self.timings.poll_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do next, or until when to wait and why."""

    action: Action
    reason: Reason
    message: str
    until: datetime | None = None
    """When a wait ends by itself; None where only a change ends it."""
    token: Token | None = None
    """What to verify."""


Check = Callable[[Observation], Decision | None]


def decide(seen: Observation) -> Decision | None:
    """Return what to do next; None where nothing may be done and nothing is to be reported."""
    if seen.credential.being_deleted or seen.namespace_is_going:
        return None
    decision = next(found for check in CHECKS if (found := check(seen)) is not None)
    return decision if decision.action is not Action.WAIT else _wake_in_time(decision, seen)


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
    if desired is None or not seen.publishable or seen.conflict or _publishing_is_set_back(seen, desired):
        return None
    if differs(seen.target, desired) or seen.strays:
        return Decision(action=Action.PUBLISH, reason=Reason.PUBLISHED, message="The Secret is not as it should be")
    return None


def workloads_are_behind(seen: Observation) -> Decision | None:
    """Restart the workloads of spec.rollout for what was published; whether one may be is seen when it is read."""
    if not seen.workloads_due:
        return None
    return Decision(action=Action.RESTART, reason=Reason.PUBLISHED, message="Workloads have read what was there before")


def source_cannot_be_read(seen: Observation) -> Decision | None:
    """Wait for Vault."""
    setback = seen.source_setback
    return None if setback is None else _wait(setback.trouble.reason, setback.trouble.message, setback.retry_at)


def refresh_is_under_way(seen: Observation) -> Decision | None:
    """Wait for the keeper of grants, who wakes us."""
    match seen.flight:
        case flights.Refreshing(last=flights.Refused(trouble=trouble) | flights.Unavailable(trouble=trouble)):
            return _wait(trouble.reason, trouble.message)
        case flights.Refreshing():
            return _wait(*_calm(seen, "A refresh is under way"))
        case flights.Unstored(trouble=trouble):
            return _wait(trouble.reason, trouble.message)
        case _:
            return None


def grant_is_missing(seen: Observation) -> Decision | None:
    """Wait for a person to consent or to seed the grant."""
    if not seen.is_oauth2 or seen.grant is not None:
        return None
    return _wait(Reason.GRANT_MISSING, "Vault holds no refresh_token at the grant's path: consent, or write one there")


def refresh_is_set_back(seen: Observation) -> Decision | None:
    """Leave Pipedrive alone for a while after a failed refresh, unless Vault holds another refresh token.

    Who asks for it is heard at once, but for what Pipedrive itself asked to wait for.
    """
    match seen.flight:
        case flights.Refused() if seen.asked is not None:
            return None
        case flights.Refused(trouble=trouble, lineage=lineage, retry_at=retry_at) if (
            seen.grant is not None and lineage == seen.grant.lineage and seen.now < retry_at
        ):
            return _wait(trouble.reason, trouble.message, retry_at)
        case flights.Unavailable(trouble=trouble, retry_at=retry_at) if seen.now < retry_at:
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
    setback = seen.verify_setback
    if setback is not None and setback.stands(seen.token.value.digest(), seen.now):
        return _wait(setback.trouble.reason, setback.trouble.message, setback.retry_at)
    if not _knows(seen.answer, seen.token) or _is_past(seen.verification_at, seen.now) or seen.asked is not None:
        return _verify(seen.token)
    return None


def account_is_wrong(seen: Observation) -> Decision | None:
    """Ask a person to mend the account or the guard; the value is not published."""
    answer = seen.answer
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
    desired, setback = seen.desired, seen.publish_setback
    if desired is None or setback is None or not setback.stands(desired.digest, seen.now):
        return None
    return _wait(setback.trouble.reason, setback.trouble.message, setback.retry_at)


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


CHECKS: Final[tuple[Check, ...]] = (
    is_suspended,
    spec_is_wrong,
    secret_is_to_be_written,
    workloads_are_behind,
    refresh_is_under_way,
    source_cannot_be_read,
    grant_is_missing,
    refresh_is_set_back,
    refresh_is_due,
    verification_is_due,
    account_is_wrong,
    secret_is_anothers,
    secret_cannot_be_written,
    scope_is_missing,
    all_is_well,
)
"""In order of precedence; a later check may rely on the earlier ones having passed."""


def account_mismatch(credential: Credential, account: Account) -> str | None:
    """Say why the account is not the one that the credential asks for, or None."""
    guard = credential.spec.account if credential.spec is not None else None
    return account_problem(guard, account, credential.status.account)


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
    if seen.asked is Asked.REFRESH:
        return "A refresh was requested"
    if seen.renewal is not None and _is_past(seen.renewal.at, seen.now):
        return "The renewal time has come"
    if seen.refusals == 1 and _knows(seen.answer, seen.token) and seen.verify_setback is not None:
        return "Pipedrive refused the access token before its expiry"
    return None


def _knows(answer: Answer | None, token: Token) -> bool:
    return answer is not None and answer.token.value == token.value


def _is_past(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and now >= moment


def _publishing_is_set_back(seen: Observation, desired: DesiredSecret) -> bool:
    return seen.publish_setback is not None and seen.publish_setback.stands(desired.digest, seen.now)


def _wake_in_time(decision: Decision, seen: Observation) -> Decision:
    """End a wait when something is due: a poll of Vault, a renewal, a verification, a restart, or to tell an expiry."""
    if decision.reason in {Reason.SUSPENDED, Reason.INVALID_SPEC}:
        return decision
    expiry = seen.good.token.expires_at if seen.good is not None else None
    renewal_at = seen.renewal.at if seen.renewal is not None else None
    workloads = (standing.retry_at for standing in seen.standings)
    times = (decision.until, seen.poll_at, seen.verification_at, renewal_at, expiry, *workloads)
    due = [moment for moment in times if moment is not None and moment > seen.now]
    return replace(decision, until=min(due, default=None))
