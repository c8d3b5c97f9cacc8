"""The login of who has a token already: the operator uses the one in a file, and follows when that changes."""

from datetime import timedelta

from pipedrive_operator.adapters.vault.login import IssuedToken, read_secret_file
from pipedrive_operator.adapters.vault.requests import VaultRequests
from pipedrive_operator.core.errors import VaultDenied
from pipedrive_operator.settings import VaultAuthSettings


class TokenLogin:
    """Takes the token from its file and asks Vault how long it lives."""

    def __init__(self, name: str, settings: VaultAuthSettings, requests: VaultRequests) -> None:
        """Log in to the connection of that name."""
        self._name = name
        self._settings = settings
        self._requests = requests

    async def log_in(self) -> IssuedToken:
        """Look at the token as it is in its file now: an agent may replace it."""
        setting = f"vault.connections.{self._name}.auth.tokenFile"
        if self._settings.token_file is None:
            message = f"There is no token for Vault ({self._name}): set {setting}"
            raise VaultDenied(message)
        token = read_secret_file(self._settings.token_file, setting)
        answer = await self._requests.look_up(token)
        if "ttl" not in answer.data:
            message = (
                f"Vault ({self._name}) refuses the token of {self._settings.token_file} "
                f'("{answer.errors}"): write one there that is alive and has the policy `default`'
            )
            raise VaultDenied(message)
        return IssuedToken(
            value=token,
            ttl=timedelta(seconds=int(answer.data["ttl"])) if answer.data.get("expire_time") else None,
            renewable=bool(answer.data.get("renewable")),
        )
