"""The settings of the Vaults that credentials may name. No secret is a setting: it is a file or a Secret."""

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, HttpUrl, field_validator, model_validator

from pipedrive_operator.config.sections import PositiveDuration, SecretReference, Section
from pipedrive_operator.core.resource.shapes import Name, ObjectName, VaultPath

_PREFIX: Final = r"^(([A-Za-z0-9_.@=+-]|\{namespace\}|\{cluster\})+/)*$"


class VaultAuthMethod(StrEnum):
    """How the operator logs in to Vault."""

    KUBERNETES = "kubernetes"
    JWT = "jwt"
    APPROLE = "approle"
    CERT = "cert"
    TOKEN = "token"


class VaultAuthSettings(Section):
    """The operator's own identity in a Vault."""

    method: Annotated[
        VaultAuthMethod, Field(description="`kubernetes`, `jwt`, `approle`, `cert` (TLS certificate) or `token`.")
    ] = VaultAuthMethod.KUBERNETES
    mount: Annotated[
        VaultPath | None, Field(description="Where the auth method is enabled; by default under its own name.")
    ] = None
    role: Annotated[
        str, Field(min_length=1, description="The role to log in to, for `kubernetes`, `jwt` and `cert`.")
    ] = "pipedrive-operator"
    service_account_token_file: Annotated[
        Path, Field(description="The operator's ServiceAccount token, for `kubernetes`.")
    ] = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    jwt_file: Annotated[Path | None, Field(description="The JWT, for `jwt`: a projected token, for instance.")] = None
    jwt_secret_ref: Annotated[SecretReference | None, Field(description="The JWT, for `jwt`, in a Secret.")] = None
    role_id: Annotated[str | None, Field(min_length=1, description="The role_id, for `approle`.")] = None
    secret_id_file: Annotated[Path | None, Field(description="The secret_id, for `approle`.")] = None
    secret_id_secret_ref: Annotated[
        SecretReference | None, Field(description="The secret_id, for `approle`, in a Secret.")
    ] = None
    token_file: Annotated[Path | None, Field(description="A Vault token, for `token`.")] = None
    token_secret_ref: Annotated[
        SecretReference | None, Field(description="A Vault token, for `token`, in a Secret.")
    ] = None

    @property
    def mount_path(self) -> str:
        """Where the auth method is enabled."""
        return self.mount or self.method

    @model_validator(mode="after")
    def _has_what_the_method_needs(self) -> Self:
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
                message = f"one of {file_setting} and {reference_setting} can be set, not both"
                raise ValueError(message)
            if method is self.method and file is None and reference is None:
                message = f"{file_setting} or {reference_setting} is needed with the method {method}"
                raise ValueError(message)
        if self.method is VaultAuthMethod.APPROLE and self.role_id is None:
            raise ValueError("roleId is needed with the method approle")
        return self


class TenantAuthMethod(StrEnum):
    """How a tenant's ServiceAccount logs in to Vault."""

    KUBERNETES = "kubernetes"
    JWT = "jwt"


class TenantAuthSettings(Section):
    """How credentials log in as a ServiceAccount of their namespace (`spec.vault.auth`)."""

    enabled: Annotated[
        bool,
        Field(description="Whether credentials may; whoever may create one then logs in as these ServiceAccounts."),
    ] = False
    method: Annotated[TenantAuthMethod, Field(description="`kubernetes` or `jwt`.")] = TenantAuthMethod.KUBERNETES
    mount: Annotated[
        VaultPath | None, Field(description="Where the auth method is enabled; by default under its own name.")
    ] = None
    audience: Annotated[
        str,
        Field(
            min_length=1, max_length=253, description="Whom the ServiceAccount's token is for; never the API server."
        ),
    ] = "vault"

    @property
    def mount_path(self) -> str:
        """Where the auth method is enabled."""
        return self.mount or self.method


class TlsSecretReference(Section):
    """A Secret of type kubernetes.io/tls in the operator's own namespace."""

    name: Annotated[ObjectName, Field(description="The Secret, with the keys `tls.crt` and `tls.key`.")]


class VaultConnectionSettings(Section):
    """One Vault (or OpenBao) server."""

    address: Annotated[HttpUrl, Field(description="Its address, such as https://vault.example.com:8200.")]
    namespace: Annotated[VaultPath | None, Field(description="Its namespace, where the server has namespaces.")] = None
    ca_file: Annotated[Path | None, Field(description="CA certificates; the system's by default.")] = None
    ca_secret_ref: Annotated[SecretReference | None, Field(description="CA certificates in a Secret.")] = None
    server_name: Annotated[
        str | None, Field(min_length=1, description="The name that its certificate is for, if not the address's.")
    ] = None
    client_certificate_file: Annotated[
        Path | None, Field(description="The certificate that the operator shows, with its chain.")
    ] = None
    client_key_file: Annotated[Path | None, Field(description="The private key of that certificate.")] = None
    client_certificate_secret_ref: Annotated[
        TlsSecretReference | None, Field(description="Certificate and key in a Secret of type kubernetes.io/tls.")
    ] = None
    timeout: Annotated[PositiveDuration, Field(description="How long an answer may take.")] = timedelta(seconds=10)
    connect_timeout: Annotated[PositiveDuration, Field(description="How much of that the connection may take.")] = (
        timedelta(seconds=5)
    )
    auth: Annotated[VaultAuthSettings, Field(description="How the operator logs in.")] = VaultAuthSettings()
    tenant_auth: Annotated[TenantAuthSettings, Field(description="How credentials log in for themselves.")] = (
        TenantAuthSettings()
    )
    mounts: Annotated[
        tuple[VaultPath, ...],
        Field(min_length=1, description="The mounts that credentials may name; each must be KV version 2."),
    ] = ("secret",)
    path_prefixes: Annotated[
        tuple[Annotated[str, Field(pattern=_PREFIX)], ...],
        Field(
            description="What a path must start with, with a / at the end, where the operator reads for a credential; "
            "`{namespace}` is the credential's, `{cluster}` is kubernetes.clusterName."
        ),
    ] = ("pipedrive/{namespace}/",)
    allowed_namespaces: Annotated[
        tuple[str, ...],
        Field(description="The namespaces whose credentials may use it; `*` stands for any characters."),
    ] = ("*",)

    @field_validator("address")
    @classmethod
    def _holds_no_password(cls, address: HttpUrl) -> HttpUrl:
        if address.username or address.password or address.query or address.fragment:
            raise ValueError("must be scheme, host, port and path alone; no user, password or query")
        return address

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (problem := next(self._problems(), None)) is not None:
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        if self.ca_file is not None and self.ca_secret_ref is not None:
            yield "one of caFile and caSecretRef can be set, not both"
        if (self.client_certificate_file is None) != (self.client_key_file is None):
            yield "clientCertificateFile and clientKeyFile go together"
        if self.client_certificate_file is not None and self.client_certificate_secret_ref is not None:
            yield "one of clientCertificateFile and clientCertificateSecretRef can be set, not both"
        if self.auth.method is not VaultAuthMethod.CERT:
            return
        if self.client_certificate_file is None and self.client_certificate_secret_ref is None:
            yield "clientCertificateFile or clientCertificateSecretRef is needed with the method cert"
        if self.address.scheme != "https":
            yield "address must be an https:// one with the method cert"


class VaultSettings(Section):
    """The Vaults that credentials may name."""

    connections: Annotated[
        dict[Name, VaultConnectionSettings],
        Field(description="By the name that `spec.vault.connection` uses; `default` is the one used without it."),
    ] = {}
