"""A `PipedriveCredential` as kubectl prints it, read into values. Nothing is decided here.

Every field may be missing: the operator may be older or newer than the plugin.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipedrive_operator.core.resource.names import SHORT_NAME
from pipedrive_operator.core.values.times import parse_time

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition of the status."""

    type: str
    status: str
    reason: str
    message: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Credential:
    """One credential. `body` is the object as the API server serves it."""

    body: Json

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return text_at(self.body, "metadata", "namespace")

    @property
    def name(self) -> str:
        """Its name."""
        return text_at(self.body, "metadata", "name")

    @property
    def uid(self) -> str:
        """Its unique id, which a credential of the same name that is created later does not have."""
        return text_at(self.body, "metadata", "uid")

    @property
    def version(self) -> str:
        """Its resource version, which changes with each write."""
        return text_at(self.body, "metadata", "resourceVersion")

    @property
    def created_at(self) -> datetime | None:
        """When it was created."""
        return time_at(self.body, "metadata", "creationTimestamp")

    @property
    def being_deleted(self) -> bool:
        """Whether it is being deleted."""
        return bool(text_at(self.body, "metadata", "deletionTimestamp"))

    @property
    def spec(self) -> Json:
        """The spec."""
        return map_at(self.body, "spec")

    @property
    def is_suspended(self) -> bool:
        """Whether the spec asks the operator to do nothing."""
        return self.spec.get("suspend") is True

    @property
    def is_oauth2(self) -> bool:
        """Whether it publishes an OAuth2 access token, which is refreshed, and not an API token."""
        return "oauth2" in self.spec

    @property
    def status(self) -> Json:
        """The status."""
        return map_at(self.body, "status")

    @property
    def is_current(self) -> bool:
        """Whether the status is about the present spec."""
        return self.status.get("observedGeneration") == map_at(self.body, "metadata").get("generation")

    @property
    def conditions(self) -> Mapping[str, Condition]:
        """The conditions by their types."""
        found = (_condition(one) for one in self.status.get("conditions") or () if isinstance(one, Mapping))
        return {one.type: one for one in found}

    @property
    def secret_name(self) -> str:
        """The name of the Secret that it publishes to."""
        return text_at(self.spec, "target", "name") or self.name

    @property
    def company(self) -> str:
        """The domain of the company that the token belongs to; empty if it is not known."""
        return text_at(self.status, "account", "companyDomain")

    @property
    def expires_at(self) -> datetime | None:
        """When the published access token expires."""
        return time_at(self.status, "expiresAt")

    @property
    def renewal_at(self) -> datetime | None:
        """When the access token becomes due for a refresh."""
        return time_at(self.status, "renewalTime")

    @property
    def refreshed_at(self) -> datetime | None:
        """When the published access token was obtained."""
        return time_at(self.status, "lastRefreshTime")

    @property
    def handled_request(self) -> str:
        """The last request for a check or a refresh that the operator acted on."""
        return text_at(self.status, "lastHandledRequest")

    def __str__(self) -> str:
        """Format it as kubectl does: namespace/name."""
        return f"{self.namespace}/{self.name}"

    def flags(self) -> str:
        """Return the arguments that select it on a command line, for people to copy."""
        return f"{self.name} -n {self.namespace}"

    def kubectl_name(self) -> str:
        """Return how kubectl names it: with its kind."""
        return f"{SHORT_NAME} {self.flags()}"


def map_at(body: Json, *path: str) -> Json:
    """Return the object at a path; empty if there is none."""
    for key in path:
        inner = body.get(key)
        body = inner if isinstance(inner, Mapping) else {}
    return body


def text_at(body: Json, *path: str) -> str:
    """Return the text at a path; empty if there is none."""
    found = map_at(body, *path[:-1]).get(path[-1])
    return found if isinstance(found, str) else ""


def time_at(body: Json, *path: str) -> datetime | None:
    """Return the time at a path; None if there is none."""
    found = text_at(body, *path)
    return parse_time(found) if found else None


def _condition(body: Json) -> Condition:
    return Condition(
        type=text_at(body, "type"),
        status=text_at(body, "status"),
        reason=text_at(body, "reason"),
        message=text_at(body, "message"),
        since=time_at(body, "lastTransitionTime"),
    )
