"""The status of a PipedriveCredential as types: what the operator last reported. Nothing is decided here."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import (
    Field,
)

from pipedrive_operator.core.resource.shapes import CONFIG as _CONFIG
from pipedrive_operator.core.resource.shapes import Time
from pipedrive_operator.core.resource.workload import WorkloadStatuses
from pipedrive_operator.core.values.conditions import Condition, ConditionType


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account that a token belongs to, as Pipedrive reports it: the ids are stable, the domain can change."""

    __pydantic_config__ = _CONFIG
    company_id: int
    """The company's id."""
    company_domain: Annotated[str, Field(max_length=253)]
    """The company's domain: acme of acme.pipedrive.com."""
    user_id: int
    """The id of the user that the token belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the operator last reported. Times that change without a change of state are metrics, not status."""

    __pydantic_config__ = _CONFIG
    observed_generation: int | None = None
    """The metadata.generation that this status describes; -1 before the first pass."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8)] = ()
    """Ready: the Secret holds an accepted, unexpired value for this generation. Authorized: Pipedrive accepts the value
    in Vault. Stalled: present, and True, only while a person must act."""
    account: Account | None = None
    """The account that the token belongs to, as Pipedrive reports it. Its company is pinned: a token of another company
    is not published until spec.account names that company."""
    secret_name: Annotated[str | None, Field(max_length=253)] = None
    """The name of the published Secret."""
    expires_at: Time | None = None
    """When the published access token expires."""
    renewal_time: Time | None = None
    """When the access token becomes due for a refresh."""
    last_refresh_time: Time | None = None
    """When the access token in Vault was obtained."""
    uninstall_reported_at: Time | None = None
    """When Pipedrive last reported that the user has uninstalled the app. Absent once the grant was refreshed after
    that."""
    rollout: WorkloadStatuses | None = None
    """The workloads of spec.rollout. One whose revision is behind still has to be restarted."""
    last_handled_request: Annotated[str | None, Field(max_length=256)] = None
    """The last value of the annotation pipedrive-operator.io/requested-at that was handled."""

    def condition(self, wanted: ConditionType) -> Condition | None:
        """Return the condition of that type; None if it is absent."""
        return next((condition for condition in self.conditions if condition.type is wanted), None)
