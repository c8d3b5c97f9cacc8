"""Everything that a decision depends on, as one value, with what follows from it. Nothing is decided here."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from functools import cached_property

from pipedrive_operator.core.decision.acceptance import account_mismatch
from pipedrive_operator.core.decision.decision import Action
from pipedrive_operator.core.decision.memory import Memory, poll_time
from pipedrive_operator.core.decision.renewal import Renewal, next_check, renewal
from pipedrive_operator.core.decision.retry import Failure
from pipedrive_operator.core.decision.timings import Timings
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.token import AccountProblem, Token, Verification
from pipedrive_operator.core.publication import rollout
from pipedrive_operator.core.publication.secret import DesiredSecret, desired_secret, differs, rendering_problem
from pipedrive_operator.core.publication.target import TargetSecret, belongs_to, may_be_adopted
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.spec import OAuth2
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.resource.workload import WorkloadReference
from pipedrive_operator.core.values.errors import InvalidSpec


class Requested(Enum):
    """What a person asked for once, by annotation."""

    CHECK = auto()
    REFRESH = auto()


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Everything that was read before deciding, the time included."""

    now: datetime
    credential: Credential
    timings: Timings
    memory: Memory
    problem: InvalidSpec | None = None
    """What is wrong with the spec, if the source could not be resolved."""
    refresh: refresh_state.RefreshState = refresh_state.IDLE
    in_escrow: bool = False
    """Whether an earlier process left a refreshed grant in escrow."""
    target: TargetSecret | None = None
    orphans: tuple[TargetSecret, ...] = ()
    """Secrets that the credential controls under a name it no longer asks for."""
    requested: Requested | None = None
    can_connect: bool = False
    """Whether people can consent in a browser, because consents are handled."""
    spent: frozenset[Action] = frozenset()
    """What this pass has done so often that it leaves the rest to a later one."""

    @property
    def is_oauth2(self) -> bool:
        """Whether the credential publishes an OAuth2 access token."""
        return isinstance(self.credential.access, OAuth2)

    @property
    def token(self) -> Token | None:
        """The token in Vault."""
        return self.memory.token

    @cached_property
    def is_publishable(self) -> bool:
        """Whether an accepted token may be published now."""
        accepted = self.memory.accepted
        if accepted is None or self.memory.accepted_was_rejected or accepted.token.expired(self.now):
            return False
        return self.mismatch(accepted.account) is None

    @property
    def verification(self) -> Verification | None:
        """The last verification, if it is about the token that Vault holds."""
        last, token = self.memory.verification, self.token
        return last if last is not None and token is not None and last.token.value == token.value else None

    def missing_scopes(self, token: Token) -> list[str]:
        """Return the required scopes that a token lacks, sorted."""
        access = self.credential.access
        return sorted(set(access.required_scopes) - token.scope) if isinstance(access, OAuth2) else []

    def mismatch(self, account: Account) -> AccountProblem | None:
        """Return why an account is not the one that the credential belongs to, or None."""
        memory = self.memory
        return account_mismatch(
            self.credential,
            account,
            accepted=memory.accepted,
            grant=memory.grant,
            allowed=memory.allowed_consents,
        )

    @cached_property
    def rendering_problem(self) -> str | None:
        """Why the Secret for the accepted token must not be rendered; None if it may be, or no token is accepted."""
        accepted = self.memory.accepted
        return None if accepted is None else rendering_problem(self.credential, accepted)

    @cached_property
    def desired(self) -> DesiredSecret | None:
        """The desired Secret; None while no token is accepted, or the Secret must not be rendered."""
        accepted = self.memory.accepted
        if accepted is None or self.rendering_problem is not None:
            return None
        return desired_secret(self.credential, accepted)

    @cached_property
    def is_as_desired(self) -> bool:
        """Whether the target Secret holds what it should; False while there is nothing to publish."""
        return self.desired is not None and not differs(self.target, self.desired)

    @property
    def write_failure(self) -> Failure | None:
        """The failure whose pause the next write of the desired Secret waits for."""
        return None if self.desired is None else self.memory.publication.pending(self.desired.digest, self.now)

    @property
    def removal_subject(self) -> str:
        """Identifies a removal of orphans: a person who renames the target again makes another one due."""
        return str(self.credential.generation)

    @property
    def removal_failure(self) -> Failure | None:
        """The failure whose pause the next removal of orphans waits for."""
        return self.memory.removal.pending(self.removal_subject, self.now)

    @property
    def orphans_due(self) -> tuple[TargetSecret, ...]:
        """The orphans to remove now, once the target Secret is as desired."""
        return self.orphans if self.removal_failure is None else ()

    @cached_property
    def published_revision(self) -> str | None:
        """The revision in the Secret, if the Secret is as desired and workloads may be restarted for it."""
        desired = self.desired
        if desired is None or self.timings.restart_interval is None or not self.is_publishable:
            return None
        return desired.revision if self.is_as_desired and belongs_to(self.target, self.credential) else None

    @property
    def workloads_due(self) -> tuple[WorkloadReference, ...]:
        """The workloads to handle now, because they are behind what is published."""
        revision = self.published_revision
        return () if revision is None else rollout.due(self.credential, revision, self.memory.restart_states, self.now)

    @property
    def has_conflict(self) -> bool:
        """Whether the target Secret belongs to someone else and is not offered for adoption."""
        target, credential = self.target, self.credential
        return target is not None and not belongs_to(target, credential) and not may_be_adopted(target, credential)

    def is_outdated(self, failure: refresh_state.Refused | refresh_state.Unavailable) -> bool:
        """Return whether a failed refresh was of a former grant, or another holder has refreshed the grant since.

        While Vault cannot be read, a refusal says nothing: a person may have consented since.
        """
        grant, token = self.memory.grant, self.memory.token
        if failure.access_digest != (token.value.digest() if token is not None else None):
            return True
        if not isinstance(failure, refresh_state.Refused):
            return False
        return self.memory.source_failure is not None or (grant is not None and grant.lineage != failure.lineage)

    @property
    def is_unresolved(self) -> bool:
        """Whether the last refresh of the grant was refused, unanswered, or requested, and could not be made."""
        match self.refresh:
            case refresh_state.Refused() | refresh_state.Unavailable(is_unresolved=True) as failure:
                return not self.is_outdated(failure)
            case _:
                return False

    @cached_property
    def renewal(self) -> Renewal | None:
        """When the token in Vault becomes due for a refresh."""
        token, grant, oauth2 = self.memory.token, self.memory.grant, self.credential.access
        if token is None or grant is None or not isinstance(oauth2, OAuth2):
            return None
        return renewal(token, oauth2.renew_before, spread_by=grant.lineage)

    @cached_property
    def verification_at(self) -> datetime | None:
        """When the token in Vault becomes due for another verification."""
        verification = self.memory.verification
        if verification is None:
            return None
        return next_check(verification.at, self.timings.verify_interval, spread_by=self.credential.uid)

    @cached_property
    def poll_at(self) -> datetime | None:
        """When Vault becomes due for another read."""
        return poll_time(self.memory, self.timings)
