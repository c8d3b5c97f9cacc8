"""Resolves the names in a credential to locations in Vault and confines them, before any call is made. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipedrive_operator.core.grant.client import ClientSource
from pipedrive_operator.core.grant.confinement import confine, names_allow, require_plain
from pipedrive_operator.core.grant.document import OPERATOR, TenantIdentity, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.keys import NO_API_TOKEN, NO_CLIENT_ID, NO_CLIENT_SECRET
from pipedrive_operator.core.publication.fields import API_TOKEN_FIELDS, OAUTH2_FIELDS
from pipedrive_operator.core.publication.reserved import reserved_fields
from pipedrive_operator.core.publication.template import check_template
from pipedrive_operator.core.resource.credential import AnyCredential, Credential, UnreadableCredential
from pipedrive_operator.core.resource.spec import ApiToken, Client, OAuth2, Target, VaultReference
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
    """A configured OAuth2 client, and the namespaces that may use it."""

    source: ClientSource
    allowed_namespaces: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The part of the configuration that decides what a credential can name."""

    connections: Mapping[str, ConnectionRules]
    apps: Mapping[str, AppRules]
    cluster: str = ""
    """The value of `{cluster}` in a path prefix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTokenSource:
    """Where an API token is kept, and the Vault identity that reads it."""

    location: VaultLocation
    identity: VaultIdentity
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantWithClient:
    """Where a grant and its client are kept, and the Vault identity that reads and writes the grant."""

    location: VaultLocation
    identity: VaultIdentity
    client: ClientSource

    def has_client_of(self, other: "Source") -> bool:
        """Return whether another source names the same client, under any Vault identity."""
        if not isinstance(other, GrantWithClient):
            return False
        return self.client.place == other.client.place


Source = ApiTokenSource | GrantWithClient


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantUser:
    """A credential that names a grant."""

    credential: Credential
    source: GrantWithClient


def resolve(credential: AnyCredential, rules: Rules) -> Source:
    """Resolve what a credential names.

    Raises:
        InvalidSpec: a field is wrong, a name is not configured, or a path is outside what is allowed.
    """
    if isinstance(credential, UnreadableCredential):
        raise InvalidSpec(credential.problem)
    vault, namespace = credential.spec.vault, credential.key.namespace
    _check_target(credential)
    match credential.access:
        case OAuth2() as oauth2:
            return _oauth2_source(oauth2, vault, rules, namespace)
        case ApiToken() as api_token:
            return _api_token_source(api_token, vault, rules, namespace)


def _oauth2_source(oauth2: OAuth2, vault: VaultReference | None, rules: Rules, namespace: str) -> GrantWithClient:
    location = _locate(oauth2.grant.path, "spec.oauth2.grant.path", vault, rules, namespace)
    client = _client_source(oauth2.client, vault, rules, namespace)
    return GrantWithClient(location=location, identity=_identity(vault, namespace), client=client)


def _api_token_source(token: ApiToken, vault: VaultReference | None, rules: Rules, namespace: str) -> ApiTokenSource:
    location = _locate(token.path, "spec.apiToken.path", vault, rules, namespace)
    key = token.key or "api_token"
    _require_other_key(key, NO_API_TOKEN, "spec.apiToken.key", "the API token")
    if any(key in app.source.keys_at(location) for app in rules.apps.values()):
        message = f"spec.apiToken.key: {key} of {location} belongs to an app, not to an API token: name another path"
        raise InvalidSpec(message)
    return ApiTokenSource(location=location, identity=_identity(vault, namespace), key=key)


def _client_source(client: Client, vault: VaultReference | None, rules: Rules, namespace: str) -> ClientSource:
    if client.app is not None:
        return _app_source(client.app, rules, namespace)
    if client.path is None:
        raise InvalidSpec("spec.oauth2.client: exactly one of app and path must be set")
    id_key, secret_key = client.id_key or "client_id", client.secret_key or "client_secret"
    _require_other_key(id_key, NO_CLIENT_ID, "spec.oauth2.client.idKey", "the client id")
    _require_other_key(secret_key, NO_CLIENT_SECRET, "spec.oauth2.client.secretKey", "the client secret")
    if id_key == secret_key:
        message = f"spec.oauth2.client: idKey and secretKey are both {id_key}: name the key of each"
        raise InvalidSpec(message)
    return ClientSource(
        location=_locate(client.path, "spec.oauth2.client.path", vault, rules, namespace),
        identity=_identity(vault, namespace),
        id_key=id_key,
        secret_key=secret_key,
    )


def _require_other_key(key: str, taken: Sequence[str], field: str, what: str) -> None:
    """Refuse a key whose name says that it holds something else: its value would be sent to the wrong place."""
    if key in taken:
        message = f"{field}: {key} holds something else: name the key of {what}, or leave the field out for the default"
        raise InvalidSpec(message)


def _app_source(name: str, rules: Rules, namespace: str) -> ClientSource:
    app = rules.apps.get(name)
    if app is None:
        message = (
            f"spec.oauth2.client.app: the operator's configuration has no app {name}; {_usable(rules.apps, namespace)}"
        )
        raise InvalidSpec(message)
    if not names_allow(app.allowed_namespaces, namespace):
        message = (
            f"spec.oauth2.client.app: namespace {namespace} may not use app {name}; to allow it, add the namespace to "
            f"the operator's setting pipedrive.apps.{name}.allowedNamespaces"
        )
        raise InvalidSpec(message)
    return app.source


def _identity(vault: VaultReference | None, namespace: str) -> VaultIdentity:
    """Return the Vault identity; its namespace is always the credential's own, so that no other can be claimed."""
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
            f"spec.vault.connection: the operator's configuration has no connection {name}; "
            f"{_usable(rules.connections, namespace)}"
        )
        raise InvalidSpec(message)
    if not names_allow(connection.allowed_namespaces, namespace):
        message = (
            f"spec.vault.connection: namespace {namespace} may not use connection {name}; to allow it, add the "
            f"namespace to the operator's setting vault.connections.{name}.allowedNamespaces"
        )
        raise InvalidSpec(message)
    if vault is not None and vault.auth is not None and not connection.takes_tenants:
        message = (
            f"spec.vault.auth: connection {name} does not let credentials log in as a ServiceAccount; remove the "
            f"field, or ask for the operator's setting vault.connections.{name}.tenantAuth.enabled to be switched on"
        )
        raise InvalidSpec(message)
    return connection


def _usable(named: Mapping[str, AppRules] | Mapping[str, ConnectionRules], namespace: str) -> str:
    """List the names that the namespace may use; it does not learn the others."""
    names = sorted(name for name, rules in named.items() if names_allow(rules.allowed_namespaces, namespace))
    return f"namespace {namespace} may use {', '.join(names) or 'none'}"


def _check_target(credential: Credential) -> None:
    target = credential.spec.target or Target()
    if (problem := next(reserved_fields(target), None)) is not None:
        raise InvalidSpec(problem)
    templates = target.data or {}
    fields = OAUTH2_FIELDS if isinstance(credential.access, OAuth2) else API_TOKEN_FIELDS
    for key, text in templates.items():
        check_template(key, text, fields)
