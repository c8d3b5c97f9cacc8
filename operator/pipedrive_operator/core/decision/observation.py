"""Everything that a decision depends on, as one value. No decision is made here."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from functools import cached_property
from typing import Final

from pipedrive_operator.core.decision.renewal import Renewal, renewal, verification_time
from pipedrive_operator.core.decision.retry import Failure
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.token import Accepted, Token, Verification, account_problem
from pipedrive_operator.core.publication import rollout
from pipedrive_operator.core.publication.secret import DesiredSecret, desired_secret, differs, is_ours
from pipedrive_operator.core.publication.target import TargetSecret, may_be_adopted
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.resource.workload import WorkloadReference
from pipedrive_operator.core.values.errors import InvalidSpec

CONFLICT_RECHECK: Final = timedelta(minutes=1)
"""How often to look whether a foreign Secret has gone: nothing tells us, for we do not watch foreign Secrets."""


class Requested(Enum):
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
    def restarts(self) -> rollout.RestartPacing | None:
        """How often workloads are restarted, if they may be."""
        if self.restart_interval is None:
            return None
        return rollout.RestartPacing(interval=self.restart_interval, retry=self.poll_interval)


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
    source_failure: Failure | None = None
    grant: Grant | None = None
    token: Token | None = None
    """What Vault holds."""
    verification: Verification | None = None
    """Pipedrive's last word on that token."""
    accepted: Accepted | None = None
    """The newest accepted token: what is, or is to be, published."""
    accepted_was_rejected: bool = False
    """Pipedrive has since refused it."""
    refusals: int = 0
    """How many tokens in a row Pipedrive has refused before their expiry."""
    verify_failure: Failure | None = None
    refresh: refresh_state.RefreshState = refresh_state.IDLE
    in_escrow: bool = False
    """An earlier process has left in escrow what a refresh won."""
    target: TargetSecret | None = None
    orphans: tuple[TargetSecret, ...] = ()
    """Secrets that we control under a name that is no longer wanted."""
    publish_failure: Failure | None = None
    restart_states: tuple[rollout.RestartState, ...] = ()
    """What came of the last looks at the workloads of spec.rollout."""
    requested: Requested | None = None

    @property
    def is_oauth2(self) -> bool:
        """Whether the credential is an OAuth2 grant."""
        return self.credential.spec is not None and self.credential.spec.oauth2 is not None

    @property
    def publishable(self) -> bool:
        """Whether there is a value that may be published now."""
        if self.accepted is None or self.accepted_was_rejected or self.accepted.token.expired(self.now):
            return False
        return account_mismatch(self.credential, self.accepted.account) is None

    @cached_property
    def desired(self) -> DesiredSecret | None:
        """The Secret that should be there, where a value is known for it."""
        return None if self.accepted is None else desired_secret(self.credential, self.accepted)

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
        return () if revision is None else rollout.due(self.credential, revision, self.restart_states, self.now)

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
        if self.verification is None:
            return None
        return verification_time(self.verification.at, self.timings.verify_interval, spread_by=self.credential.uid)

    @property
    def poll_at(self) -> datetime | None:
        """When Vault is to be read again."""
        return None if self.read_at is None else self.read_at + self.timings.poll_interval


def account_mismatch(credential: Credential, account: Account) -> str | None:
    """Say why the account is not the one that the credential asks for, or None."""
    guard = credential.spec.account if credential.spec is not None else None
    return account_problem(guard, account, credential.status.account)
