"""The implementation of `ports.LoginMaterial`: Secrets in the operator's namespace, and tokens of ServiceAccounts.

Tokens are requested with TokenRequest. They last for a few minutes and for one audience, which is never the API server
(https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/).
"""

import base64
import binascii
from datetime import timedelta

from pipedrive_operator.adapters.kubernetes.api import Api, readable
from pipedrive_operator.adapters.kubernetes.endpoints import SECRETS, SERVICE_ACCOUNTS
from pipedrive_operator.adapters.kubernetes.quotation import quote
from pipedrive_operator.adapters.kubernetes.refusal import Refusal
from pipedrive_operator.core.grant.document import TenantIdentity
from pipedrive_operator.core.resource.metadata import read_strings
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable, VaultDenied, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue

TOKEN_LIFETIME = timedelta(minutes=10)
"""The shortest lifetime that the API server accepts. A token is sent to Vault at once, and to nothing else."""


class KubernetesLoginMaterial:
    """Implements `ports.LoginMaterial`."""

    def __init__(self, api: Api, namespace: str) -> None:
        """Use `api`; `namespace` is the operator's own."""
        self._api = api
        self._namespace = namespace

    async def secret(self, name: str, key: str) -> SecretValue | None:
        """Return a value from a Secret in the operator's namespace; see `ports.LoginMaterial`."""
        try:
            found = await self._api.get(SECRETS.at(Key(namespace=self._namespace, name=name)))
            return None if found is None else _decode(read_strings(found, "data").get(key))
        except Refusal as refusal:
            message = (
                f"The operator is not allowed to read Secret {self._namespace}/{name} ({quote(refusal.message)}): "
                "allow its Role to get Secrets in its own namespace"
            )
            raise VaultDenied(message) from refusal
        except ApiServerUnavailable as error:
            message = f"Secret {self._namespace}/{name} cannot be read ({error}): check the API server"
            raise VaultUnavailable(message) from error

    async def service_account_token(self, identity: TenantIdentity, audience: str) -> SecretValue:
        """Return a new token of a ServiceAccount; see `ports.LoginMaterial`."""
        account = Key(namespace=identity.namespace, name=identity.service_account)
        await self._require_other_audience(audience)
        spec = {"audiences": [audience], "expirationSeconds": int(TOKEN_LIFETIME.total_seconds())}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        try:
            answer = await self._api.create(SERVICE_ACCOUNTS.at(account, subresource="token"), request)
        except Refusal as refusal:
            raise _denied(account, refusal) from refusal
        except ApiServerUnavailable as error:
            message = f"No token for ServiceAccount {account} could be requested ({error}): check the API server"
            raise VaultUnavailable(message) from error
        try:
            with readable("TokenRequest"):
                return SecretValue(str(answer["status"]["token"]))
        except ApiServerUnavailable as error:
            message = f"No token for ServiceAccount {account} could be read ({error}): check the API server"
            raise VaultUnavailable(message) from error

    async def _require_other_audience(self, audience: str) -> None:
        """Refuse an audience for which the operator's own token is valid: that is the API server itself."""
        if audience in await self._api.own_audiences():
            message = (
                f"No ServiceAccount token was requested, because its audience {audience} is the API server's own, "
                "where Vault could use the token. Set another tenantAuth.audience, and the same one in Vault's role"
            )
            raise VaultDenied(message)


def _decode(encoded: str | None) -> SecretValue | None:
    if not encoded:
        return None
    try:
        return SecretValue(base64.b64decode(encoded, validate=True).decode())
    except (binascii.Error, ValueError):
        return None


def _denied(account: Key, refusal: Refusal) -> VaultDenied:
    if refusal.is_not_found:
        return VaultDenied(
            f"spec.vault.auth.serviceAccountRef: ServiceAccount {account} does not exist: create it, or name another"
        )
    if not refusal.is_forbidden:
        return VaultDenied(f"The API server denied a token for ServiceAccount {account}: {quote(refusal.message)}")
    return VaultDenied(
        f"The operator is not allowed to request a token for ServiceAccount {account} ({quote(refusal.message)}): "
        f"bind it to a Role in namespace {account.namespace} that allows `create` on `serviceaccounts/token` with "
        f"resourceNames [{account.name}]"
    )
