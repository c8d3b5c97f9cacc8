"""The PipedriveCredential resource as types: the one definition that reading, the CRD and the documentation share.

Only here, in the shapes, in the workloads and in the settings is pydantic known. No decision is made here, and nothing
is fetched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from pipedrive_operator.core.conditions import Condition, ConditionType
from pipedrive_operator.core.errors import InvalidSpec
from pipedrive_operator.core.shapes import CONFIG as _CONFIG
from pipedrive_operator.core.shapes import (
    AnnotationValue,
    CompanyDomain,
    DataKey,
    LabelValue,
    Name,
    ObjectName,
    QualifiedName,
    Scope,
    ShortText,
    Template,
    VaultPath,
)
from pipedrive_operator.core.times import DURATION, format_duration, format_time, parse_duration
from pipedrive_operator.core.workload import Rollout, WorkloadStatuses

GROUP: Final = "pipedrive-operator.io"
VERSION: Final = "v1alpha1"
KIND: Final = "PipedriveCredential"
PLURAL: Final = "pipedrivecredentials"
SHORT_NAME: Final = "pdc"
CATEGORY: Final = "pipedrive"

LABEL_CREDENTIAL: Final = f"{GROUP}/credential"
"""On every Secret that we write: the name of its credential. The watch of Secrets selects on it."""
ANNOTATION_MANAGED: Final = f"{GROUP}/managed"
"""On every Secret that we write: which data keys, labels and annotations are ours, so that dropped ones go."""
ANNOTATION_DIGEST: Final = f"{GROUP}/digest"
"""On every Secret that we write: a digest of our data, so that a hand edit shows after a restart without Vault."""
ANNOTATION_ADOPT: Final = f"{GROUP}/adopt"
"""On a Secret of somebody else: the credential that may take it over."""
ANNOTATION_REVISION: Final = f"{GROUP}/revision"
"""On the Secret of a credential with a rollout: which revision of the published values it holds."""
ANNOTATION_REQUESTED_AT: Final = f"{GROUP}/requested-at"
"""On a credential: any new value asks for a check now."""
LONGEST_REQUEST: Final = 256
"""As much of `requested-at` as the status holds; what follows does not tell one request from another."""
ANNOTATION_REQUEST: Final = f"{GROUP}/request"
"""On a credential, beside `requested-at`: `refresh` asks for a refresh instead of a check."""

SHORTEST_RENEW_BEFORE: Final = timedelta(seconds=10)


def _duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    found = parse_duration(value) if isinstance(value, str) else None
    if found is None:
        message = "is not a duration such as 90s, 20m or 1h30m"
        raise ValueError(message)
    return found


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION, "minLength": 2, "maxLength": 18}),
]
RenewBefore = Annotated[
    Duration,
    Field(ge=SHORTEST_RENEW_BEFORE),
    WithJsonSchema({"type": "string", "minLength": 2, "maxLength": 18}),
]
Time = Annotated[
    datetime,
    PlainSerializer(format_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 64}),
]


class DeletionPolicy(StrEnum):
    """What becomes of the Secret when its credential is deleted."""

    DELETE = "Delete"
    RETAIN = "Retain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The OAuth2 client: an app that the operator's configuration names, or a document in Vault."""

    __pydantic_config__ = _CONFIG
    app: Name | None = None
    """An app that the operator's configuration names. Exactly one of app and path."""
    path: VaultPath | None = None
    """The Vault KV v2 path of the client id and secret. Exactly one of app and path."""
    id_key: DataKey | None = None
    """The key of the client id at that path. Default: client_id."""
    secret_key: DataKey | None = None
    """The key of the client secret at that path. Default: client_secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantSource:
    """Where the grant is kept."""

    __pydantic_config__ = _CONFIG
    path: VaultPath
    """The Vault KV v2 path of the grant, which the operator reads and writes. Keys of others there are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2:
    """An access token, renewed with a refresh token that Vault keeps."""

    __pydantic_config__ = _CONFIG
    client: Client
    """The OAuth2 client (the Pipedrive app) that the grant belongs to."""
    grant: GrantSource
    """Where Vault keeps the grant: the refresh token and what came of it."""
    required_scopes: Annotated[
        tuple[Scope, ...], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """The scopes that the workload needs, such as deals:full. They are checked, not asked for: the scopes of an app
    are set at Pipedrive. Ready is False while the grant lacks one."""
    renew_before: RenewBefore | None = None
    """How long before its expiry to refresh the access token, such as 20m. Default: a third of its lifetime. More than
    half of the lifetime counts as half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A personal API token that Vault keeps."""

    __pydantic_config__ = _CONFIG
    path: VaultPath
    """The Vault KV v2 path of the API token."""
    key: DataKey | None = None
    """The key of the API token at that path. Default: api_token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountGuard:
    """The Pipedrive account that the credential must belong to."""

    __pydantic_config__ = _CONFIG
    company_domain: CompanyDomain | None = None
    """The company's domain: acme of acme.pipedrive.com."""
    company_id: Annotated[int | None, Field(ge=1)] = None
    """The company's id. Where set it decides, so that a company may be renamed."""
    user_id: Annotated[int | None, Field(ge=1)] = None
    """The id of the user whose token it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountReference:
    """A ServiceAccount of the credential's namespace."""

    __pydantic_config__ = _CONFIG
    name: ObjectName
    """The ServiceAccount's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultAuth:
    """A tenant's own identity in Vault."""

    __pydantic_config__ = _CONFIG
    role: ShortText
    """The Vault role to log in to, as the ServiceAccount."""
    service_account_ref: ServiceAccountReference
    """The ServiceAccount of this namespace to log in as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultReference:
    """Which Vault, by the name that the operator's configuration gives it."""

    __pydantic_config__ = _CONFIG
    connection: Name | None = None
    """A connection of the operator's configuration. Default: default."""
    mount: VaultPath | None = None
    """A KV v2 mount that the connection lists. Default: its first."""
    auth: VaultAuth | None = None
    """Log in as a ServiceAccount of this namespace. Default: as the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The Secret that workloads mount."""

    __pydantic_config__ = _CONFIG
    name: ObjectName | None = None
    """The Secret's name. Default: the credential's."""
    type: ShortText | None = None
    """The Secret's type, which cannot change while the name stays. Default: Opaque."""
    labels: Annotated[dict[QualifiedName, LabelValue], Field(max_length=32)] = field(default_factory=dict)
    """Labels for the Secret. Those of others on it are left alone."""
    annotations: Annotated[dict[QualifiedName, AnnotationValue], Field(max_length=32)] = field(default_factory=dict)
    """Annotations for the Secret. Those of others on it are left alone."""
    data: Annotated[dict[DataKey, Template], Field(min_length=1, max_length=32)] | None = None
    """Templates for the Secret's keys, in place of the default keys. $(field) stands for a value, $(field|json) for it
    as a quoted JSON string, $$( for $( itself. The fields, which are the default keys too, are access_token,
    token_type, api_domain, expires_at, scope and company_domain with oauth2, and api_token, api_domain and
    company_domain with apiToken."""
    deletion_policy: DeletionPolicy | None = None
    """Whether the Secret goes (Delete) or stays (Retain) with its credential. Default: Delete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What the app team asks for."""

    __pydantic_config__ = _CONFIG
    oauth2: OAuth2 | None = None
    """Publish an OAuth2 access token, refreshed in time with the grant in Vault. Exactly one of oauth2 and apiToken."""
    api_token: ApiToken | None = None
    """Publish a personal API token that Vault keeps. Exactly one of oauth2 and apiToken."""
    account: AccountGuard | None = None
    """A guard: the token of any other company or user is not published."""
    vault: VaultReference | None = None
    """The Vault that holds the paths of this resource."""
    target: Target | None = None
    """The Secret to publish to."""
    rollout: Rollout | None = None
    """Restart workloads when what is published has changed, such as those that read it as environment variables. The
    operator's setting rollout.enabled and an annotation on each workload have to allow it."""
    suspend: bool = False
    """Stop all calls to Vault and Pipedrive and all writes of the Secret, which stays as it is. Default: false."""


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


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Key:
    """The namespace and name of an object."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Write it as kubectl does."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One resource as it was last seen."""

    key: Key
    uid: str
    generation: int
    resource_version: str
    created_at: datetime
    being_deleted: bool
    annotations: Mapping[str, str]
    spec: Spec | None
    """None where the resource cannot be read; `problem` then says why."""
    problem: str | None
    status: Status

    @property
    def target_name(self) -> str:
        """The name of the Secret to publish to."""
        target = self.spec.target if self.spec else None
        return (target and target.name) or self.key.name

    @property
    def request(self) -> str | None:
        """The check or refresh that a person asked for and that was not handled yet."""
        requested = self.annotations.get(ANNOTATION_REQUESTED_AT, "")[:LONGEST_REQUEST] or None
        return requested if requested != self.status.last_handled_request else None


T = TypeVar("T")

SPEC: Final = TypeAdapter(Spec)
STATUS: Final = TypeAdapter(Status)


def read_credential(body: Mapping[str, Any]) -> Credential:
    """Read a resource as the API server serves it.

    A resource that an older CRD let through is not refused: `spec` is None and `problem` names the field.
    """
    metadata = body["metadata"]
    spec, problem = _read_spec(body.get("spec") or {})
    return Credential(
        key=Key(namespace=metadata["namespace"], name=metadata["name"]),
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        resource_version=metadata["resourceVersion"],
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        being_deleted="deletionTimestamp" in metadata,
        annotations=metadata.get("annotations") or {},
        spec=spec,
        problem=problem,
        status=_read_status(body.get("status") or {}),
    )


def write_status(status: Status) -> dict[str, Any]:
    """Write a status as the API server takes it; what is absent is None, so that a merge patch removes it."""
    written: dict[str, Any] = STATUS.dump_python(status, mode="json", by_alias=True)
    return written


def _read_spec(raw: Mapping[str, Any]) -> tuple[Spec | None, str | None]:
    try:
        spec = SPEC.validate_python(raw)
        _require_one_kind(spec)
    except ValidationError as error:
        first = error.errors()[0]
        return None, f"spec.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    except InvalidSpec as error:
        return None, error.message
    return spec, None


def _require_one_kind(spec: Spec) -> None:
    if (spec.oauth2 is None) == (spec.api_token is None):
        raise InvalidSpec("spec: exactly one of oauth2 and apiToken must be set")


def _read_status(raw: Mapping[str, Any]) -> Status:
    try:
        return STATUS.validate_python(raw)
    except ValidationError:
        return Status()
