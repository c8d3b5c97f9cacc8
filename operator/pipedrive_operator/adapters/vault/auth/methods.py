"""The ways to have Vault issue a token: one class for each auth method, and for a tenant's ServiceAccount.

https://developer.hashicorp.com/vault/docs/auth says what each method is.
"""

from typing import assert_never

from pipedrive_operator.adapters.vault.auth.login import IssuedToken, Login, issued_token
from pipedrive_operator.adapters.vault.auth.token import TokenLogin
from pipedrive_operator.adapters.vault.exchange import Answer
from pipedrive_operator.adapters.vault.material import Material
from pipedrive_operator.adapters.vault.requests import VaultRequests
from pipedrive_operator.config.vault import TenantAuthMethod, TenantAuthSettings, VaultAuthMethod, VaultAuthSettings
from pipedrive_operator.core.grant.document import TenantIdentity
from pipedrive_operator.core.values.errors import VaultDenied


class KubernetesLogin:
    """Shows Vault the operator's ServiceAccount token, which Vault shows to the API server."""

    def __init__(self, name: str, auth: VaultAuthSettings, requests: VaultRequests, material: Material) -> None:
        """Log in to the connection of that name."""
        self._name, self._auth, self._requests, self._material = name, auth, requests, material

    async def log_in(self) -> IssuedToken:
        """Log in with the token as it is in its file now: the kubelet replaces it."""
        mount, role = self._auth.mount_path, self._auth.role
        file = self._auth.service_account_token_file
        jwt = await self._material.value("auth.serviceAccountToken", file, None)
        answer = await self._requests.log_in_with_kubernetes(mount, role, jwt)
        return _issued(
            answer, self._name, f"by kubernetes at auth/{mount} with role {role}", f"auth/{mount}/role/{role}"
        )


class JwtLogin:
    """Shows Vault a JWT, whose signature Vault checks itself."""

    def __init__(self, name: str, auth: VaultAuthSettings, requests: VaultRequests, material: Material) -> None:
        """Log in to the connection of that name."""
        self._name, self._auth, self._requests, self._material = name, auth, requests, material

    async def log_in(self) -> IssuedToken:
        """Log in with the JWT as it is now."""
        mount, role = self._auth.mount_path, self._auth.role
        jwt = await self._material.value("auth.jwt", self._auth.jwt_file, self._auth.jwt_secret_ref)
        answer = await self._requests.log_in_with_jwt(mount, role, jwt)
        return _issued(answer, self._name, f"by jwt at auth/{mount} with role {role}", f"auth/{mount}/role/{role}")


class AppRoleLogin:
    """Shows Vault a role_id and a secret_id."""

    def __init__(self, name: str, auth: VaultAuthSettings, requests: VaultRequests, material: Material) -> None:
        """Log in to the connection of that name."""
        self._name, self._auth, self._requests, self._material = name, auth, requests, material

    async def log_in(self) -> IssuedToken:
        """Log in with the secret_id as it is now."""
        auth = self._auth
        secret_id = await self._material.value("auth.secretId", auth.secret_id_file, auth.secret_id_secret_ref)
        answer = await self._requests.log_in_with_approle(auth.mount_path, auth.role_id or "", secret_id)
        how = f"by approle at auth/{auth.mount_path} with role_id {auth.role_id}"
        return _issued(answer, self._name, how, f"auth/{auth.mount_path}/role/NAME/role-id")


class CertificateLogin:
    """Lets Vault look at the client certificate of the connection."""

    def __init__(self, name: str, auth: VaultAuthSettings, requests: VaultRequests) -> None:
        """Log in to the connection of that name."""
        self._name, self._auth, self._requests = name, auth, requests

    async def log_in(self) -> IssuedToken:
        """Log in; a certificate that was replaced is the one that is shown."""
        mount, role = self._auth.mount_path, self._auth.role
        answer = await self._requests.log_in_with_certificate(mount, role)
        return _issued(answer, self._name, f"by cert at auth/{mount} with role {role}", f"auth/{mount}/certs/{role}")


class TenantLogin:
    """Shows Vault a new token of a tenant's ServiceAccount, which is good for Vault alone."""

    def __init__(
        self,
        name: str,
        auth: TenantAuthSettings,
        requests: VaultRequests,
        material: Material,
        identity: TenantIdentity,
    ) -> None:
        """Log in to the connection of that name as that tenant."""
        self._name, self._auth, self._requests, self._material = name, auth, requests, material
        self._identity = identity

    async def log_in(self) -> IssuedToken:
        """Log in with a token of this moment."""
        mount, role, audience = self._auth.mount_path, self._identity.role, self._auth.audience
        jwt = await self._material.service_account_token(self._identity, audience)
        match self._auth.method:
            case TenantAuthMethod.KUBERNETES:
                answer = await self._requests.log_in_with_kubernetes(mount, role, jwt)
            case TenantAuthMethod.JWT:
                answer = await self._requests.log_in_with_jwt(mount, role, jwt)
            case _:
                assert_never(self._auth.method)
        account = f"{self._identity.namespace}/{self._identity.service_account}"
        how = (
            f"of ServiceAccount {account} by {self._auth.method} at auth/{mount} with role {role}, audience {audience}"
        )
        return _issued(answer, self._name, how, f"auth/{mount}/role/{role}")


def operator_login(name: str, auth: VaultAuthSettings, requests: VaultRequests, material: Material) -> Login:
    """Build the login that the settings ask for."""
    match auth.method:
        case VaultAuthMethod.KUBERNETES:
            return KubernetesLogin(name, auth, requests, material)
        case VaultAuthMethod.JWT:
            return JwtLogin(name, auth, requests, material)
        case VaultAuthMethod.APPROLE:
            return AppRoleLogin(name, auth, requests, material)
        case VaultAuthMethod.CERT:
            return CertificateLogin(name, auth, requests)
        case VaultAuthMethod.TOKEN:
            return TokenLogin(name, auth, requests, material)
        case _:
            assert_never(auth.method)


def _issued(answer: Answer, name: str, how: str, where: str) -> IssuedToken:
    """Return the token. Raises VaultDenied with the place that says who is let in."""
    issued = issued_token(answer)
    if issued is None:
        message = f'Vault ({name}) refuses the login {how} ("{answer.errors}"): see whom `vault read {where}` lets in'
        raise VaultDenied(message)
    return issued
