"""The spec of a PipedriveCredential as types: what the app team asks for. Nothing is decided here."""

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
    """What happens to the Secret when its credential is deleted."""

    DELETE = "Delete"
    RETAIN = "Retain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The OAuth2 client: an app of the operator's configuration, or a document in Vault."""

    __pydantic_config__ = _CONFIG
    app: Name | None = None
    """The name of an app in the operator's configuration. Exactly one of app and path."""
    path: VaultPath | None = None
    """The Vault KV v2 path of the document with the client id and secret. Exactly one of app and path."""
    id_key: DataKey | None = None
    """The key of the client id in that document. Default: client_id."""
    secret_key: DataKey | None = None
    """The key of the client secret in that document. Default: client_secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantSource:
    """Where the grant is kept."""

    __pydantic_config__ = _CONFIG
    path: VaultPath
    """The Vault KV v2 path of the grant, which the operator reads and writes. Other keys of the document are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2:
    """An access token, refreshed with the refresh token that Vault keeps."""

    __pydantic_config__ = _CONFIG
    client: Client
    """The OAuth2 client (the Pipedrive app) that the grant belongs to."""
    grant: GrantSource
    """Where Vault keeps the grant: the refresh token and the access token."""
    required_scopes: Annotated[
        tuple[Scope, ...], Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ()
    """The scopes that the workload needs, such as deals:full. They are checked, not requested: the scopes of an app
    are set in Pipedrive. Ready is False while the grant lacks one."""
    renew_before: RenewBefore | None = None
    """How long before its expiry the access token is refreshed, such as 20m. Default: a third of its lifetime. At most
    half of the lifetime is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A personal API token that Vault keeps."""

    __pydantic_config__ = _CONFIG
    path: VaultPath
    """The Vault KV v2 path of the API token."""
    key: DataKey | None = None
    """The key of the API token in that document. Default: api_token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountGuard:
    """The Pipedrive account that the credential must belong to."""

    __pydantic_config__ = _CONFIG
    company_domain: CompanyDomain | None = None
    """The company's domain: acme of acme.pipedrive.com."""
    company_id: Annotated[int | None, Field(ge=1)] = None
    """The company's id. If it is set, the domain is not checked, so that a company can be renamed."""
    user_id: Annotated[int | None, Field(ge=1)] = None
    """The id of the user that the token must belong to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccountReference:
    """A ServiceAccount of the credential's namespace."""

    __pydantic_config__ = _CONFIG
    name: ObjectName
    """The ServiceAccount's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultAuth:
    """A Vault identity of the tenant's own."""

    __pydantic_config__ = _CONFIG
    role: ShortText
    """The Vault role for the login as the ServiceAccount."""
    service_account_ref: ServiceAccountReference
    """The ServiceAccount of this namespace to log in as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultReference:
    """Which Vault to use, by its name in the operator's configuration."""

    __pydantic_config__ = _CONFIG
    connection: Name | None = None
    """A connection of the operator's configuration. Default: default."""
    mount: VaultPath | None = None
    """A KV v2 mount that the connection lists. Default: the first of them."""
    auth: VaultAuth | None = None
    """Log in as a ServiceAccount of this namespace. Default: as the operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The Secret that workloads mount."""

    __pydantic_config__ = _CONFIG
    name: ObjectName | None = None
    """The Secret's name. Default: the credential's."""
    type: ShortText | None = None
    """The Secret's type, which can change only together with the name. Default: Opaque."""
    labels: Annotated[dict[QualifiedName, LabelValue], Field(max_length=32)] = field(default_factory=dict)
    """Labels for the Secret. Other labels on it are left unchanged."""
    annotations: Annotated[dict[QualifiedName, AnnotationValue], Field(max_length=32)] = field(default_factory=dict)
    """Annotations for the Secret. Other annotations on it are left unchanged."""
    data: Annotated[dict[DataKey, Template], Field(min_length=1, max_length=32)] | None = None
    """Templates for the Secret's keys, which replace the default keys. $(field) stands for the value of a field,
    $(field|json) for the value as a quoted JSON string, $(field|sh) for the value as a word of a shell script,
    $(expires_at|unix) for the expiry in seconds since 1970, and $$( for a literal $(. The fields, which are also the
    default keys, are {fields}."""
    deletion_policy: DeletionPolicy | None = None
    """Whether the Secret is deleted with its credential (Delete) or stays (Retain). Default: Delete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What the app team asks for."""

    __pydantic_config__ = _CONFIG
    oauth2: OAuth2 | None = None
    """Publish an OAuth2 access token and refresh it in time. Exactly one of oauth2 and apiToken."""
    api_token: ApiToken | None = None
    """Publish a personal API token that Vault keeps. Exactly one of oauth2 and apiToken."""
    account: AccountGuard | None = None
    """A guard: a token of any other company or user is not published. Without it, the company of the first accepted
    token is the only one whose tokens are published."""
    vault: VaultReference | None = None
    """The Vault that holds the paths of this resource."""
    target: Target | None = None
    """The Secret to publish to."""
    rollout: Rollout | None = None
    """Restart workloads when the published values change, such as those that read them as environment variables. The
    operator's setting rollout.enabled and an annotation on each workload must allow it."""
    suspend: bool = False
    """Stop all calls to Vault and Pipedrive and all writes of the Secret, which stays unchanged. Default: false."""
