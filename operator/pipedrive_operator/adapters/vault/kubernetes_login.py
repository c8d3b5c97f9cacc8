"""The login with the operator's own ServiceAccount (https://developer.hashicorp.com/vault/docs/auth/kubernetes)."""

from pipedrive_operator.adapters.vault.login import IssuedToken, issued_token, read_secret_file
from pipedrive_operator.adapters.vault.requests import VaultRequests
from pipedrive_operator.core.errors import VaultDenied
from pipedrive_operator.settings import VaultAuthSettings


class KubernetesLogin:
    """Shows Vault the ServiceAccount's token, which Vault shows to the API server."""

    def __init__(self, name: str, settings: VaultAuthSettings, requests: VaultRequests) -> None:
        """Log in to the connection of that name."""
        self._name = name
        self._settings = settings
        self._requests = requests

    async def log_in(self) -> IssuedToken:
        """Log in with the token as it is in its file now: the kubelet replaces it."""
        mount, role = self._settings.mount, self._settings.role
        setting = f"vault.connections.{self._name}.auth.serviceAccountTokenFile"
        jwt = read_secret_file(self._settings.service_account_token_file, setting)
        answer = await self._requests.log_in_with_kubernetes(mount, role, jwt)
        issued = issued_token(answer)
        if issued is None:
            message = (
                f"Vault ({self._name}) refuses the login by kubernetes at auth/{mount} with role {role} "
                f'("{answer.errors}"): see whom `vault read auth/{mount}/role/{role}` lets in'
            )
            raise VaultDenied(message)
        return issued
