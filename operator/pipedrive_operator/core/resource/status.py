"""The status of a PipedriveCredential as types: what the operator last reported."""

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
    """Who a token is, as Pipedrive told: the pair of ids is stable, the domain may change."""

    __pydantic_config__ = _CONFIG
    company_id: int
    """The company's id."""
    company_domain: Annotated[str, Field(max_length=253)]
    """The company's domain: acme of acme.pipedrive.com."""
    user_id: int
    """The id of the user whose token it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the operator last reported. Times that move without a change of state are metrics, not status."""

    __pydantic_config__ = _CONFIG
    observed_generation: int | None = None
    """The metadata.generation that this status speaks of; -1 before the first."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8)] = ()
    """Ready: the Secret holds an accepted, unexpired value made for this generation. Authorized: Pipedrive accepts what
    Vault holds. Stalled: present, and True, only while a person must act."""
    account: Account | None = None
    """Whose token it is, as Pipedrive told."""
    secret_name: Annotated[str | None, Field(max_length=253)] = None
    """The Secret that is published."""
    expires_at: Time | None = None
    """When the published access token expires."""
    renewal_time: Time | None = None
    """When the access token is to be refreshed."""
    last_refresh_time: Time | None = None
    """When the published access token was obtained."""
    rollout: WorkloadStatuses | None = None
    """The workloads of spec.rollout. One whose revision is behind is still to be restarted."""
    last_handled_request: Annotated[str | None, Field(max_length=256)] = None
    """The last value of the annotation pipedrive-operator.io/requested-at that was acted on."""

    def condition(self, wanted: ConditionType) -> Condition | None:
        """Return the condition of that type."""
        return next((condition for condition in self.conditions if condition.type is wanted), None)
