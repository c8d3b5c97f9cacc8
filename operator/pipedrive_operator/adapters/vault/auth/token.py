"""The login of who has a token already: the operator uses it, and follows when it is replaced."""

import re
from datetime import timedelta
from typing import Final

from pipedrive_operator.adapters.vault.auth.login import IssuedToken
from pipedrive_operator.adapters.vault.material import Material
from pipedrive_operator.adapters.vault.requests import VaultRequests
from pipedrive_operator.config.vault import VaultAuthSettings
from pipedrive_operator.core.values.errors import VaultDenied

_TOKEN: Final = re.compile("[!-~]+")
"""What an HTTP header can carry: more than one line, or a byte order mark, cannot be sent."""


class TokenLogin:
    """Takes the token from its file or Secret and asks Vault how long it lives."""

    def __init__(self, name: str, auth: VaultAuthSettings, requests: VaultRequests, material: Material) -> None:
        """Log in to the connection of that name."""
        self._name, self._auth, self._requests, self._material = name, auth, requests, material

    async def log_in(self) -> IssuedToken:
        """Look at the token as it is now: an agent may replace it."""
        file, reference = self._auth.token_file, self._auth.token_secret_ref
        token = await self._material.value("auth.token", file, reference)
        where = file if reference is None else f"key {reference.key} of Secret {reference.name}"
        if not _TOKEN.fullmatch(token.reveal()):
            message = f"Vault ({self._name}) has no token like that of {where}: write the token there, and nothing else"
            raise VaultDenied(message)
        answer = await self._requests.look_up(token)
        if "ttl" not in answer.data:
            message = (
                f"Vault ({self._name}) refuses the token of {where} "
                f'("{answer.errors}"): write one there that is alive and has the policy `default`'
            )
            raise VaultDenied(message)
        return IssuedToken(
            value=token,
            ttl=timedelta(seconds=int(answer.data["ttl"])) if answer.data.get("expire_time") else None,
            renewable=bool(answer.data.get("renewable")),
            ours=False,
        )
