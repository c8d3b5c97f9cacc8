"""The login with a token that a person or an agent provides: the operator uses it, and follows when it is replaced."""

from dataclasses import replace

from pipedrive_operator.adapters.vault import errors, requests
from pipedrive_operator.adapters.vault.auth.login import IssuedToken, is_token, issued_token, read_token, seconds
from pipedrive_operator.adapters.vault.material import Material
from pipedrive_operator.adapters.vault.request_and_response import Send
from pipedrive_operator.config.vault import VaultAuthSettings
from pipedrive_operator.core.values.errors import VaultDenied
from pipedrive_operator.core.values.secret_value import SecretValue


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
        if not is_token(token.reveal()):
            message = (
                f'{where} does not contain a valid token for Vault connection "{self._name}": write the token there, '
                "on one line and with nothing else"
            )
            raise VaultDenied(message)
        issued = await self._look_up(token, where)
        if issued.uses:
            message = (
                f'Vault connection "{self._name}" limits the token of {where} to {issued.uses} more requests, but the '
                "operator sends many with the same token: create a token without -use-limit"
            )
            raise VaultDenied(message)
        return issued

    async def _look_up(self, token: SecretValue, where: str) -> IssuedToken:
        response = await self._send(requests.look_up_token(token))
        report = response.data
        if "ttl" not in report:
            raise errors.token_refused(response, self._name, where)
        ttl = seconds(report["ttl"]) if report.get("expire_time") else None
        issued = read_token(token, report, ttl=ttl, ours=False)
        if ttl or ttl is None or not issued.renewable:
            return issued
        # A server that lags may still see an old lease; the renewal reaches the active server, which knows better.
        response = await self._send(requests.renew_token(token))
        renewed = issued_token(response)
        if renewed is None:
            raise errors.token_refused(response, self._name, where)
        return replace(issued, ttl=renewed.ttl)
