"""The settings of the Vault connections. No secret is a setting: it is in a file, or in a Secret.

How the files and Secrets are read is up to the Vault adapter.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, HttpUrl, field_validator, model_validator

from pipedrive_operator.config.sections import INSECURE, File, PositiveDuration, SecretReference, Section, is_plain
from pipedrive_operator.core.resource.shapes import SENTENCE, Name, ObjectName, VaultPath

_PREFIX: Final = r"^(([A-Za-z0-9_.@=+-]|\{namespace\}|\{cluster\})+/)*$"
PathPrefix = Annotated[
    str,
    Field(
        pattern=_PREFIX,
        json_schema_extra={
            SENTENCE: "must be a path that ends with /, such as pipedrive/{namespace}/: letters, digits, _ . @ = + - "
            "and the placeholders {namespace} and {cluster} between single slashes"
        },
    ),
]


_API_SERVER: Final = re.compile(
    r"((https?://)?kubernetes(\.default(\.svc(\.[a-z0-9.-]+)?)?)?|api)(:443)?/?", re.IGNORECASE
)
"""The audiences that API servers have by default: the issuer of ServiceAccount tokens, and older names."""


class VaultAuthMethod(StrEnum):
    """How the operator logs in to Vault."""

    KUBERNETES = "kubernetes"
    JWT = "jwt"
    APPROLE = "approle"
    CERT = "cert"
    TOKEN = "token"


class VaultAuthSettings(Section):
    """How the operator logs in to a Vault as itself."""

    method: Annotated[
        VaultAuthMethod,
        Field(description="Auth method: `kubernetes`, `jwt`, `approle`, `cert` (TLS certificate) or `token`."),
    ] = VaultAuthMethod.KUBERNETES
    mount: Annotated[
        VaultPath | None,
        Field(description="Path at which the auth method is enabled. By default, the method's own name."),
    ] = None
    role: Annotated[
        str, Field(min_length=1, description="Role to log in with, for `kubernetes`, `jwt` and `cert`.")
    ] = "pipedrive-operator"
    service_account_token_file: Annotated[
        File, Field(description="File with the operator's ServiceAccount token, for `kubernetes`.")
    ] = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    jwt_file: Annotated[
        File | None, Field(description="File with the JWT, for `jwt`; for instance a projected ServiceAccount token.")
    ] = None
    jwt_secret_ref: Annotated[SecretReference | None, Field(description="Secret with the JWT, for `jwt`.")] = None
    role_id: Annotated[str | None, Field(min_length=1, description="The role_id, for `approle`.")] = None
    secret_id_file: Annotated[File | None, Field(description="File with the secret_id, for `approle`.")] = None
    secret_id_secret_ref: Annotated[
        SecretReference | None, Field(description="Secret with the secret_id, for `approle`.")
    ] = None
    token_file: Annotated[File | None, Field(description="File with a Vault token, for `token`.")] = None
    token_secret_ref: Annotated[
        SecretReference | None, Field(description="Secret with a Vault token, for `token`.")
    ] = None

    @property
    def mount_path(self) -> str:
        """The path at which the auth method is enabled."""
        return self.mount or self.method

    @model_validator(mode="after")
    def _require_credentials_of_the_method(self) -> Self:
        needs = {
            VaultAuthMethod.JWT: ("jwtFile", self.jwt_file, "jwtSecretRef", self.jwt_secret_ref),
            VaultAuthMethod.APPROLE: (
                "secretIdFile",
                self.secret_id_file,
                "secretIdSecretRef",
                self.secret_id_secret_ref,
            ),
            VaultAuthMethod.TOKEN: ("tokenFile", self.token_file, "tokenSecretRef", self.token_secret_ref),
        }
        for method, (file_setting, file, reference_setting, reference) in needs.items():
            if file is not None and reference is not None:
                message = f"{file_setting} and {reference_setting} are both set: remove one of them"
                raise ValueError(message)
            if method is self.method and file is None and reference is None:
                message = f"the method {method} needs {file_setting} or {reference_setting}: set one of them"
                raise ValueError(message)
        if self.method is VaultAuthMethod.APPROLE and self.role_id is None:
            raise ValueError("the method approle needs roleId: set it")
        return self


class TenantAuthMethod(StrEnum):
    """How a tenant's ServiceAccount logs in to Vault."""

    KUBERNETES = "kubernetes"
    JWT = "jwt"


class TenantAuthSettings(Section):
    """How credentials log in to Vault as a ServiceAccount of their namespace (`spec.vault.auth`)."""

    enabled: Annotated[
        bool,
        Field(
            description="Let credentials log in to Vault as a ServiceAccount of their namespace. "
            "Anyone who can create a credential can then use those ServiceAccounts."
        ),
    ] = False
    method: Annotated[TenantAuthMethod, Field(description="Auth method: `kubernetes` or `jwt`.")] = (
        TenantAuthMethod.KUBERNETES
    )
    mount: Annotated[
        VaultPath | None,
        Field(description="Path at which the auth method is enabled. By default, the method's own name."),
    ] = None
    audience: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            description="Audience of the ServiceAccount's token. The API server's own audience is refused, because "
            "Vault could then use the token as the ServiceAccount.",
        ),
    ] = "vault"

    @field_validator("audience")
    @classmethod
    def _refuse_audience_of_api_server(cls, audience: str) -> str:
        """Refuse the usual audiences; the one of a particular cluster is refused when a token is requested."""
        if _API_SERVER.fullmatch(audience):
            message = (
                f"{audience} is the audience of the API server, where the token would be valid too: choose another, "
                "such as vault, and set it in Vault's role"
            )
            raise ValueError(message)
        return audience

    @property
    def mount_path(self) -> str:
        """The path at which the auth method is enabled."""
        return self.mount or self.method


class TlsSecretReference(Section):
    """A Secret of type kubernetes.io/tls in the operator's own namespace."""

    name: Annotated[ObjectName, Field(description="Name of the Secret, which has the keys `tls.crt` and `tls.key`.")]


class VaultConnectionSettings(Section):
    """One Vault (or OpenBao) server."""

    address: Annotated[HttpUrl, Field(description="Address of the server, such as https://vault.example.com:8200.")]
    namespace: Annotated[VaultPath | None, Field(description="Vault namespace, for servers that have namespaces.")] = (
        None
    )
    ca_file: Annotated[File | None, Field(description="File with CA certificates (PEM). By default, the system's.")] = (
        None
    )
    ca_secret_ref: Annotated[SecretReference | None, Field(description="Secret with CA certificates (PEM).")] = None
    server_name: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Server name to expect in the certificate, if it differs from the host in `address`.",
        ),
    ] = None
    client_certificate_file: Annotated[
        File | None, Field(description="File with the operator's client certificate and its chain (PEM).")
    ] = None
    client_key_file: Annotated[
        File | None, Field(description="File with the private key of the client certificate (PEM).")
    ] = None
    client_certificate_secret_ref: Annotated[
        TlsSecretReference | None,
        Field(description="Secret of type kubernetes.io/tls with the client certificate and its key."),
    ] = None
    timeout: Annotated[PositiveDuration, Field(description="How long to wait for a response.")] = timedelta(seconds=10)
    connect_timeout: Annotated[PositiveDuration, Field(description="How much of `timeout` connecting may take.")] = (
        timedelta(seconds=5)
    )
    auth: Annotated[VaultAuthSettings, Field(description="How the operator logs in.")] = VaultAuthSettings()
    tenant_auth: Annotated[TenantAuthSettings, Field(description="How credentials log in as a ServiceAccount.")] = (
        TenantAuthSettings()
    )
    mounts: Annotated[
        tuple[VaultPath, ...],
        Field(min_length=1, description="Mounts that credentials may name; each must be a KV version 2 engine."),
    ] = ("secret",)
    path_prefixes: Annotated[
        tuple[PathPrefix, ...],
        Field(
            description="Prefixes, each ending with `/`. A path that the operator reads for a credential must start "
            "with one of them. `{namespace}` is the credential's namespace, `{cluster}` is kubernetes.clusterName."
        ),
    ] = ("pipedrive/{namespace}/",)
    allowed_namespaces: Annotated[
        tuple[str, ...],
        Field(description="Namespaces whose credentials may use the connection; `*` matches any characters."),
    ] = ("*",)
    insecure: Annotated[
        bool,
        Field(
            description="Accept plain HTTP to another machine in `address`. `check` and a metric show it. Set it only "
            "in tests."
        ),
    ] = False

    @property
    def is_plain(self) -> bool:
        """Whether tokens travel to another machine unencrypted."""
        return is_plain(str(self.address))

    @field_validator("namespace", mode="before")
    @classmethod
    def _has_no_slash_at_the_end(cls, namespace: object) -> object:
        """Accept a namespace as `vault namespace list` prints it: admin/."""
        return namespace.removesuffix("/") if isinstance(namespace, str) else namespace

    @field_validator("address")
    @classmethod
    def _require_plain_address(cls, address: HttpUrl) -> HttpUrl:
        if address.username or address.password or address.query or address.fragment:
            raise ValueError(
                "must consist of scheme, host, port and path: remove the user, password, query or fragment"
            )
        return address

    @model_validator(mode="after")
    def _require_consistency(self) -> Self:
        if (problem := next(self._problems(), None)) is not None:
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        if self.ca_file is not None and self.ca_secret_ref is not None:
            yield "caFile and caSecretRef are both set: remove one of them"
        if (self.client_certificate_file is None) != (self.client_key_file is None):
            yield "clientCertificateFile and clientKeyFile belong together: set both, or neither"
        if self.client_certificate_file is not None and self.client_certificate_secret_ref is not None:
            yield "clientCertificateFile and clientCertificateSecretRef are both set: remove one of them"
        if self.is_plain and not self.insecure:
            yield f"address {INSECURE.format(setting='insecure')}"
        if self.auth.method is not VaultAuthMethod.CERT:
            return
        if self.client_certificate_file is None and self.client_certificate_secret_ref is None:
            yield "the method cert needs clientCertificateFile or clientCertificateSecretRef: set one of them"
        if self.address.scheme != "https":
            yield "the method cert needs TLS: set an address that starts with https://"


class VaultSettings(Section):
    """The Vault connections."""

    connections: Annotated[
        dict[Name, VaultConnectionSettings],
        Field(description="Connections, by the name in `spec.vault.connection`, which is `default` when left out."),
    ] = {}
