"""The login with a token that a person or an agent provides: the operator uses it, and follows when it is replaced."""

import re
from datetime import timedelta
from typing import Final

from pipedrive_operator.adapters.vault import requests
from pipedrive_operator.adapters.vault.auth.login import IssuedToken
from pipedrive_operator.adapters.vault.exchange import Send
from pipedrive_operator.adapters.vault.material import Material
from pipedrive_operator.config.vault import VaultAuthSettings
from pipedrive_operator.core.values.errors import VaultDenied

_TOKEN: Final = re.compile("[!-~]+")
"""What fits in an HTTP header: several lines or a byte order mark cannot be sent."""


class TokenLogin:
    """Reads the token from its file or Secret, and asks Vault for its lifetime."""

    def __init__(self, name: str, auth: VaultAuthSettings, send: Send, material: Material) -> None:
        """Log in to the connection of that name."""
        self._name, self._auth, self._send, self._material = name, auth, send, material

    async def log_in(self) -> IssuedToken:
        """Read the token again, which an agent may have replaced, and look it up."""
        file, reference = self._auth.token_file, self._auth.token_secret_ref
        token = await self._material.value("auth.token", file, reference)
        where = str(file) if reference is None else f"key {reference.key} of Secret {reference.name}"
        if not _TOKEN.fullmatch(token.reveal()):
            message = (
                f"{where} does not contain a valid token for Vault ({self._name}): write the token there, on one line "
                "and with nothing else"
            )
            raise VaultDenied(message)
        response = await self._send(requests.look_up_token(token))
        if "ttl" not in response.data:
            message = (
                f'Vault ({self._name}) refuses the token of {where} ("{response.errors}"): replace it by a token that '
                "has not expired and has the policy `default`"
            )
            raise VaultDenied(message)
        return IssuedToken(
            value=token,
            ttl=timedelta(seconds=int(response.data["ttl"])) if response.data.get("expire_time") else None,
            renewable=bool(response.data.get("renewable")),
            ours=False,
        )
