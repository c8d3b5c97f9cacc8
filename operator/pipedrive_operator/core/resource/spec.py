"""The spec of a PipedriveCredential as types: what the app team asks for. No decision is made here."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import (
    Field,
    WithJsonSchema,
)

from pipedrive_operator.core.resource.shapes import CONFIG as _CONFIG
from pipedrive_operator.core.resource.shapes import (
    AnnotationValue,
    CompanyDomain,
    DataKey,
    Duration,
    LabelValue,
    Name,
    ObjectName,
    QualifiedName,
    Scope,
    ShortText,
    Template,
    VaultPath,
)
from pipedrive_operator.core.resource.workload import Rollout

SHORTEST_RENEW_BEFORE: Final = timedelta(seconds=10)
RenewBefore = Annotated[
    Duration,
    Field(ge=SHORTEST_RENEW_BEFORE),
    WithJsonSchema({"type": "string", "minLength": 2, "maxLength": 18}),
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
    as a quoted JSON string, $(field|sh) for it as a word of a shell script, $(expires_at|unix) for the expiry in
    seconds since 1970, and $$( for $( itself. The fields, which are also the default keys, are {fields}."""
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
