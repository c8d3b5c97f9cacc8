"""What logging in to Vault takes of the cluster: Secrets of the operator's namespace, and tokens of tenants.

Tokens come by TokenRequest, for one audience that is not the API server, and for a few minutes
(https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/).
"""

import base64
import binascii
from datetime import timedelta

from pipedrive_operator.adapters.kubernetes.api import Api, Body
from pipedrive_operator.adapters.kubernetes.endpoints import SECRETS, SERVICE_ACCOUNTS
from pipedrive_operator.adapters.kubernetes.refusal import Refusal, shorten
from pipedrive_operator.core.grant.document import TenantIdentity
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable, VaultDenied, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue

TOKEN_LIFETIME = timedelta(minutes=10)
"""The shortest that the API server issues: it is shown to Vault at once, and to nobody else."""


class KubernetesLoginMaterial:
    """Implements `ports.LoginMaterial`."""

    def __init__(self, api: Api, namespace: str) -> None:
        """Use the gateway, and the Secrets of the operator's own namespace."""
        self._api = api
        self._namespace = namespace

    async def secret(self, name: str, key: str) -> SecretValue | None:
        """Return a value of a Secret in the operator's namespace, as `ports.LoginMaterial` has it."""
        try:
            found = await self._api.get(SECRETS.at(Key(namespace=self._namespace, name=name)))
        except Refusal as refusal:
            message = (
                f"The operator may not read Secret {self._namespace}/{name} ({shorten(refusal.message)}): "
                "let its Role get Secrets in its own namespace"
            )
            raise VaultDenied(message) from refusal
        except ApiServerUnavailable as error:
            message = f"Secret {self._namespace}/{name} cannot be read ({error}): see whether the API server runs"
            raise VaultUnavailable(message) from error
        return _decoded(found, key)

    async def service_account_token(self, identity: TenantIdentity, audience: str) -> SecretValue:
        """Return a new token of a ServiceAccount, as `ports.LoginMaterial` has it."""
        account = Key(namespace=identity.namespace, name=identity.service_account)
        spec = {"audiences": [audience], "expirationSeconds": int(TOKEN_LIFETIME.total_seconds())}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        try:
            answer = await self._api.create(SERVICE_ACCOUNTS.at(account, subresource="token"), request)
        except Refusal as refusal:
            raise _denied(account, refusal) from refusal
        except ApiServerUnavailable as error:
            message = f"There is no token of ServiceAccount {account} ({error}): see whether the API server runs"
            raise VaultUnavailable(message) from error
        return SecretValue(str(answer["status"]["token"]))


def _decoded(body: Body | None, key: str) -> SecretValue | None:
    encoded = ((body or {}).get("data") or {}).get(key)
    if not encoded:
        return None
    try:
        return SecretValue(base64.b64decode(encoded, validate=True).decode())
    except (binascii.Error, UnicodeDecodeError):
        return None


def _denied(account: Key, refusal: Refusal) -> VaultDenied:
    if refusal.is_gone:
        return VaultDenied(
            f"spec.vault.auth.serviceAccountRef: there is no ServiceAccount {account}: create it, or name another"
        )
    return VaultDenied(
        f"The operator may not have a token of ServiceAccount {account} ({shorten(refusal.message)}): bind it to a "
        f"Role in namespace {account.namespace} that allows `create` on `serviceaccounts/token` with resourceNames "
        f"[{account.name}]"
    )
