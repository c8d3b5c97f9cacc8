"""Builds the requests to Vault with hvac, which nothing else here imports. No request is sent here.

hvac's API classes return whatever their adapter returns, so an adapter that returns the request itself makes them
builders of requests. Methods that read the response, such as `kv.v2.patch`, cannot be used this way. `hvac.Client` is
left out because it reads VAULT_ADDR, VAULT_TOKEN and ~/.vault-token.
"""

from collections.abc import Mapping
from typing import Any, Final

from hvac.adapters import Adapter
from hvac.api.auth_methods import JWT, AppRole, Kubernetes, Token
from hvac.api.secrets_engines import KvV2
from hvac.api.system_backend import SystemBackend

from pipedrive_operator.adapters.vault.request_and_response import VaultRequest
from pipedrive_operator.core.values.secret_value import SecretValue

LOGIN: Final = "login"
"""The operation of every request that is part of a login."""


def read_document(mount: str, path: str) -> VaultRequest:
    """Read the newest version of a KV version 2 document."""
    engine = KvV2(_RequestBuilder("read"))
    request: VaultRequest = engine.read_secret_version(path, mount_point=mount, raise_on_deleted_version=True)
    return request


def write_document(mount: str, path: str, *, values: Mapping[str, object], cas: int) -> VaultRequest:
    """Write a version of a KV version 2 document by check-and-set."""
    engine = KvV2(_RequestBuilder("write"))
    request: VaultRequest = engine.create_or_update_secret(path, dict(values), cas=cas, mount_point=mount)
    return request


def read_mount(mount: str) -> VaultRequest:
    """Read what is mounted there. Vault allows this to every token that may do anything below the mount."""
    return _RequestBuilder("mount").request("get", f"/v1/sys/internal/ui/mounts/{mount}")


def log_in_with_kubernetes(mount: str, role: str, jwt: SecretValue) -> VaultRequest:
    """Log in with a ServiceAccount's token."""
    # With use_token, hvac would look for the token in the response.
    request: VaultRequest = Kubernetes(_RequestBuilder(LOGIN)).login(
        role, jwt.reveal(), use_token=False, mount_point=mount
    )
    return request


def log_in_with_jwt(mount: str, role: str, jwt: SecretValue) -> VaultRequest:
    """Log in with a JWT."""
    request: VaultRequest = JWT(_RequestBuilder(LOGIN)).jwt_login(role, jwt.reveal(), use_token=False, path=mount)
    return request


def log_in_with_approle(mount: str, role_id: str, secret_id: SecretValue) -> VaultRequest:
    """Log in with a role_id and a secret_id."""
    approle = AppRole(_RequestBuilder(LOGIN))
    request: VaultRequest = approle.login(role_id, secret_id.reveal(), use_token=False, mount_point=mount)
    return request


def log_in_with_certificate(mount: str, role: str) -> VaultRequest:
    """Log in with the connection's client certificate; hvac's own method asks for the certificate's files."""
    return _RequestBuilder(LOGIN).request("post", f"/v1/auth/{mount}/login", json={"name": role})


def look_up_token(token: SecretValue) -> VaultRequest:
    """Read the lifetime of a token, which is how the login method `token` checks it."""
    request: VaultRequest = Token(_RequestBuilder(LOGIN, token)).lookup_self()
    return request


def renew_token(token: SecretValue) -> VaultRequest:
    """Extend the lifetime of a token."""
    request: VaultRequest = Token(_RequestBuilder("renew", token)).renew_self()
    return request


def revoke_token(token: SecretValue) -> VaultRequest:
    """Revoke a token."""
    request: VaultRequest = Token(_RequestBuilder("revoke", token)).revoke_self()
    return request


def read_capabilities(paths: list[str]) -> VaultRequest:
    """Read which capabilities the token has on paths."""
    request: VaultRequest = SystemBackend(_RequestBuilder("capabilities")).get_capabilities(paths)
    return request


def read_seal_status() -> VaultRequest:
    """Read whether the server is initialised and unsealed."""
    request: VaultRequest = SystemBackend(_RequestBuilder("seal_status")).read_seal_status()
    return request


class _RequestBuilder(Adapter):  # type: ignore[misc]  # hvac has no types
    """Returns the request that hvac wants to send, instead of sending it."""

    def __init__(self, operation: str, token: SecretValue | None = None) -> None:
        # The base class would open a session of the requests library.
        self._operation = operation
        self._secret = token

    def request(self, method: str, url: str, **kwargs: Any) -> VaultRequest:  # noqa: ANN401  as hvac passes them
        return VaultRequest(
            operation=self._operation,
            method=method.upper(),
            path=url,
            token=self._secret,
            json=kwargs.get("json"),
            params=kwargs.get("params"),
        )

    def get_login_token(self, response: VaultRequest) -> str:
        raise NotImplementedError
