"""The auth methods by which Vault issues a token: one function for each, which builds the request of the login.

https://developer.hashicorp.com/vault/docs/auth describes the methods. To add one, write its function and name it in
`operator_login`. How long a token lives and when it is replaced is decided in session.py.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, assert_never

from pipedrive_operator.adapters.vault import errors, requests
from pipedrive_operator.adapters.vault.auth.login import IssuedToken, Login, issued_token
from pipedrive_operator.adapters.vault.auth.token import TokenLogin
from pipedrive_operator.adapters.vault.material import Material
from pipedrive_operator.adapters.vault.request_and_response import Send, VaultRequest
from pipedrive_operator.config.vault import TenantAuthMethod, TenantAuthSettings, VaultAuthMethod, VaultAuthSettings
from pipedrive_operator.core.grant.document import TenantIdentity
from pipedrive_operator.core.values.errors import Trouble, VaultDenied
from pipedrive_operator.core.values.secret_value import SecretValue

_UNWRAP: Final = (
    "its secret_id looks like a wrapping token, so unwrap it with `vault unwrap -field=secret_id` and write the result "
    "in its place"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """The request of one login, and the words for the case that Vault refuses it."""

    request: VaultRequest
    description: str
    advice: str
    """What to do if Vault refuses the login."""


class IssuingLogin:
    """A login at which Vault issues a token."""

    def __init__(self, name: str, prepare: Callable[[], Awaitable[Attempt]], send: Send) -> None:
        """Log in to the connection of that name; `prepare` reads its secrets anew for each login."""
        self._name, self._prepare, self._send = name, prepare, send

    async def log_in(self) -> IssuedToken:
        """Log in, as `Login` describes."""
        attempt = await self._prepare()
        response = await self._send(attempt.request)
        issued = issued_token(response)
        if issued is None:
            raise errors.login_refused(response, self._name, attempt.description, attempt.advice)
        if issued.uses:
            with suppress(Trouble):
                await self._send(requests.revoke_token(issued.value))
            message = (
                f'Vault connection "{self._name}" limits the token of the login {attempt.description} to {issued.uses} '
                "requests, but the operator sends many with the same token: set token_num_uses=0 on the role"
            )
            raise VaultDenied(message)
        return issued


def operator_login(name: str, auth: VaultAuthSettings, send: Send, material: Material) -> Login:
    """Return the login that the settings of a connection ask for."""
    match auth.method:
        case VaultAuthMethod.KUBERNETES:
            return IssuingLogin(name, partial(_kubernetes, auth, material), send)
        case VaultAuthMethod.JWT:
            return IssuingLogin(name, partial(_jwt, auth, material), send)
        case VaultAuthMethod.APPROLE:
            return IssuingLogin(name, partial(_approle, auth, material), send)
        case VaultAuthMethod.CERT:
            return IssuingLogin(name, partial(_certificate, auth), send)
        case VaultAuthMethod.TOKEN:
            return TokenLogin(name, auth, send, material)
        case _:
            assert_never(auth.method)


def tenant_login(
    name: str, auth: TenantAuthSettings, send: Send, material: Material, identity: TenantIdentity
) -> Login:
    """Return the login of a tenant's ServiceAccount."""
    return IssuingLogin(name, partial(_tenant, auth, material, identity), send)


async def _kubernetes(auth: VaultAuthSettings, material: Material) -> Attempt:
    """Present the operator's ServiceAccount token, which Vault has the API server review."""
    mount, role = auth.mount_path, auth.role
    jwt = await material.value("auth.serviceAccountToken", auth.service_account_token_file, None)
    return Attempt(
        request=requests.log_in_with_kubernetes(mount, role, jwt),
        description=f"by kubernetes at auth/{mount} with role {role}",
        advice=_read_role(f"auth/{mount}/role/{role}"),
    )


async def _jwt(auth: VaultAuthSettings, material: Material) -> Attempt:
    """Present a JWT, whose signature Vault verifies itself."""
    mount, role = auth.mount_path, auth.role
    jwt = await material.value("auth.jwt", auth.jwt_file, auth.jwt_secret_ref)
    return Attempt(
        request=requests.log_in_with_jwt(mount, role, jwt),
        description=f"by jwt at auth/{mount} with role {role}",
        advice=_read_role(f"auth/{mount}/role/{role}"),
    )


async def _approle(auth: VaultAuthSettings, material: Material) -> Attempt:
    """Present a role_id and a secret_id."""
    mount, role_id = auth.mount_path, auth.role_id or ""
    secret_id = await material.value("auth.secretId", auth.secret_id_file, auth.secret_id_secret_ref)
    return Attempt(
        request=requests.log_in_with_approle(mount, role_id, secret_id),
        description=f"by approle at auth/{mount} with role_id {role_id}",
        advice=_UNWRAP if _is_wrapped(secret_id) else _read_role(f"auth/{mount}/role/NAME/role-id"),
    )


async def _certificate(auth: VaultAuthSettings) -> Attempt:
    """Present the client certificate of the connection, as it was read for this login."""
    mount, role = auth.mount_path, auth.role
    return Attempt(
        request=requests.log_in_with_certificate(mount, role),
        description=f"by cert at auth/{mount} with role {role}",
        advice=_read_role(f"auth/{mount}/certs/{role}"),
    )


async def _tenant(auth: TenantAuthSettings, material: Material, identity: TenantIdentity) -> Attempt:
    """Present a new token of a tenant's ServiceAccount, which is valid for Vault alone."""
    mount, role, audience = auth.mount_path, identity.role, auth.audience
    jwt = await material.service_account_token(identity, audience)
    match auth.method:
        case TenantAuthMethod.KUBERNETES:
            request = requests.log_in_with_kubernetes(mount, role, jwt)
        case TenantAuthMethod.JWT:
            request = requests.log_in_with_jwt(mount, role, jwt)
        case _:
            assert_never(auth.method)
    account = f"{identity.namespace}/{identity.service_account}"
    return Attempt(
        request=request,
        description=(
            f"of ServiceAccount {account} by {auth.method} at auth/{mount} with role {role}, audience {audience}"
        ),
        advice=_read_role(f"auth/{mount}/role/{role}"),
    )


def _read_role(path: str) -> str:
    return f"check with `vault read {path}` which logins the role accepts"


def _is_wrapped(secret_id: SecretValue) -> bool:
    """Return whether a secret_id looks like the token that wraps it, or like Vault's whole response."""
    return secret_id.reveal().startswith(("hvs.", "hvb.", "s.", "b.", "{"))
