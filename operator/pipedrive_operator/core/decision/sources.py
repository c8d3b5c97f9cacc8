"""From a credential and the configuration to places in Vault: names are resolved and confined here, before any call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipedrive_operator.core.grant.confinement import confine, names_allow, require_plain
from pipedrive_operator.core.grant.document import OPERATOR, TenantIdentity, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.grant import ClientSource
from pipedrive_operator.core.publication.template import API_TOKEN_FIELDS, OAUTH2_FIELDS, check_template
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.spec import ApiToken, Client, OAuth2, Spec, VaultReference
from pipedrive_operator.core.values.errors import InvalidSpec

DEFAULT_CONNECTION: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRules:
    """What credentials may reach on a Vault connection."""

    mounts: Sequence[str]
    path_prefixes: Sequence[str]
    allowed_namespaces: Sequence[str]
    takes_tenants: bool = False
    """Whether a credential may log in as a ServiceAccount of its namespace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRules:
    """A configured OAuth2 client, and who may use it."""

    source: ClientSource
    allowed_namespaces: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The part of the configuration that decides what a credential may name."""

    connections: Mapping[str, ConnectionRules]
    apps: Mapping[str, AppRules]
    cluster: str = ""
    """What `{cluster}` stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTokenSource:
    """Where an API token is kept, and who reads it there."""

    location: VaultLocation
    identity: VaultIdentity
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantWithClient:
    """Where a grant and its client are kept, and who reads and writes the grant there."""

    location: VaultLocation
    identity: VaultIdentity
    client: ClientSource

    def has_client_of(self, other: "Source") -> bool:
        """Tell whether another source names the same client, whoever reads it."""
        if not isinstance(other, GrantWithClient):
            return False
        return self.client.place == other.client.place


Source = ApiTokenSource | GrantWithClient


def resolve(credential: Credential, rules: Rules) -> Source:
    """Find what a credential names.

    Raises:
        InvalidSpec: a field is wrong, a name is not configured, or a path is outside what is allowed.
    """
    spec = credential.spec
    if spec is None:
        raise InvalidSpec(credential.problem or "spec cannot be read")
    _check_templates(spec)
    namespace = credential.key.namespace
    if spec.oauth2 is not None:
        return _oauth2_source(spec.oauth2, spec.vault, rules, namespace)
    if spec.api_token is not None:
        return _api_token_source(spec.api_token, spec.vault, rules, namespace)
    raise InvalidSpec("spec: exactly one of oauth2 and apiToken must be set")


def grant_location(credential: Credential, rules: Rules) -> VaultLocation | None:
    """Return where the credential's grant is kept; None where it has none or names it wrongly."""
    try:
        source = resolve(credential, rules)
    except InvalidSpec:
        return None
    return source.location if isinstance(source, GrantWithClient) else None


def _oauth2_source(oauth2: OAuth2, vault: VaultReference | None, rules: Rules, namespace: str) -> GrantWithClient:
    location = _locate(oauth2.grant.path, "spec.oauth2.grant.path", vault, rules, namespace)
    client = _client_source(oauth2.client, vault, rules, namespace)
    return GrantWithClient(location=location, identity=_identity(vault, namespace), client=client)


def _api_token_source(token: ApiToken, vault: VaultReference | None, rules: Rules, namespace: str) -> ApiTokenSource:
    location = _locate(token.path, "spec.apiToken.path", vault, rules, namespace)
    return ApiTokenSource(location=location, identity=_identity(vault, namespace), key=token.key or "api_token")


def _client_source(client: Client, vault: VaultReference | None, rules: Rules, namespace: str) -> ClientSource:
    if client.app is not None:
        return _app_source(client.app, rules, namespace)
    if client.path is None:
        raise InvalidSpec("spec.oauth2.client: exactly one of app and path must be set")
    return ClientSource(
        location=_locate(client.path, "spec.oauth2.client.path", vault, rules, namespace),
        identity=_identity(vault, namespace),
        id_key=client.id_key or "client_id",
        secret_key=client.secret_key or "client_secret",
    )


def _app_source(name: str, rules: Rules, namespace: str) -> ClientSource:
    app = rules.apps.get(name)
    if app is None:
        message = f"spec.oauth2.client.app: the operator's configuration has no app {name}; {_known(rules.apps)}"
        raise InvalidSpec(message)
    if not names_allow(app.allowed_namespaces, namespace):
        message = (
            f"spec.oauth2.client.app: app {name} is not for namespace {namespace}; "
            f"the operator's setting pipedrive.apps.{name}.allowedNamespaces decides"
        )
        raise InvalidSpec(message)
    return app.source


def _identity(vault: VaultReference | None, namespace: str) -> VaultIdentity:
    """Return who reads: the namespace is the credential's own, whatever the resource says."""
    if vault is None or vault.auth is None:
        return OPERATOR
    return TenantIdentity(
        namespace=namespace, service_account=vault.auth.service_account_ref.name, role=vault.auth.role
    )


def _locate(path: str, field: str, vault: VaultReference | None, rules: Rules, namespace: str) -> VaultLocation:
    name = (vault and vault.connection) or DEFAULT_CONNECTION
    connection = _connection(name, vault, rules, namespace)
    mount = (vault and vault.mount) or connection.mounts[0]
    if mount not in connection.mounts:
        message = f"spec.vault.mount: connection {name} has no mount {mount}; it lists {', '.join(connection.mounts)}"
        raise InvalidSpec(message)
    try:
        if vault is not None and vault.auth is not None:
            require_plain(path)
        else:
            confine(path, prefixes=connection.path_prefixes, namespace=namespace, cluster=rules.cluster)
    except InvalidSpec as error:
        message = f"{field}: {error.message}"
        raise InvalidSpec(message) from error
    return VaultLocation(connection=name, mount=mount, path=path)


def _connection(name: str, vault: VaultReference | None, rules: Rules, namespace: str) -> ConnectionRules:
    connection = rules.connections.get(name)
    if connection is None:
        message = (
            f"spec.vault.connection: the operator's configuration has no connection {name}; {_known(rules.connections)}"
        )
        raise InvalidSpec(message)
    if not names_allow(connection.allowed_namespaces, namespace):
        message = (
            f"spec.vault.connection: connection {name} is not for namespace {namespace}; "
            f"the operator's setting vault.connections.{name}.allowedNamespaces decides"
        )
        raise InvalidSpec(message)
    if vault is not None and vault.auth is not None and not connection.takes_tenants:
        message = (
            f"spec.vault.auth: connection {name} does not let credentials log in as a ServiceAccount; remove the "
            f"field, or have the operator's setting vault.connections.{name}.tenantAuth.enabled set"
        )
        raise InvalidSpec(message)
    return connection


def _known(names: Mapping[str, object]) -> str:
    return f"it has {', '.join(sorted(names))}" if names else "it has none"


def _check_templates(spec: Spec) -> None:
    templates = (spec.target and spec.target.data) or {}
    fields = OAUTH2_FIELDS if spec.oauth2 is not None else API_TOKEN_FIELDS
    for key, text in templates.items():
        check_template(key, text, fields)
