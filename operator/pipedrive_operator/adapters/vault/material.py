"""What logging in takes that no setting may hold: values of files, of the operator's Secrets, and tokens of tenants.

Everything is read anew each time: the kubelet, an agent or a person may have replaced it.
"""

from pathlib import Path

from pipedrive_operator.config.sections import SecretReference
from pipedrive_operator.core.grant.document import TenantIdentity
from pipedrive_operator.core.values.errors import VaultDenied, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.ports import LoginMaterial


class Material:
    """Reads what the settings of a connection name."""

    def __init__(self, name: str, cluster: LoginMaterial | None) -> None:
        """Read for the connection of that name; without a cluster, from files alone."""
        self._name = name
        self._cluster = cluster

    async def value(self, setting: str, file: Path | None, reference: SecretReference | None) -> SecretValue:
        """Return the value of a setting that is a file or a Secret; `setting` is its name without the ending.

        Raises:
            VaultDenied: it is not there, or is empty.
            VaultUnavailable: the API server gave no usable answer.
        """
        full = f"vault.connections.{self._name}.{setting}"
        if reference is not None:
            return await self._of_secret(reference, f"{full}SecretRef")
        if file is not None:
            return _of_file(file, f"{full}File")
        message = f"There is no login to Vault ({self._name}): set {full}File or {full}SecretRef"
        raise VaultDenied(message)

    async def service_account_token(self, identity: TenantIdentity, audience: str) -> SecretValue:
        """Return a new token of a tenant's ServiceAccount. Raises VaultDenied, VaultUnavailable."""
        if self._cluster is None:
            raise _no_cluster("A token of a ServiceAccount")
        return await self._cluster.service_account_token(identity, audience)

    async def _of_secret(self, reference: SecretReference, setting: str) -> SecretValue:
        if self._cluster is None:
            raise _no_cluster("A Secret that holds a setting")
        value = await self._cluster.secret(reference.name, reference.key)
        if not value:
            message = (
                f"There is no login to Vault ({self._name}) without key {reference.key} of Secret {reference.name} in "
                f"the operator's namespace, which is absent or empty: write it, or set {setting}"
            )
            raise VaultDenied(message)
        return value


def _no_cluster(what: str) -> VaultUnavailable:
    return VaultUnavailable(f"{what} cannot be had without the API server: see whether it can be reached")


def _of_file(path: Path, setting: str) -> SecretValue:
    try:
        value = SecretValue(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        message = (
            f"There is no login to Vault without the file {path}, which cannot be read: mount it, or set {setting}"
        )
        raise VaultDenied(message) from error
    if not value:
        message = f"There is no login to Vault with the file {path}, which is empty: fill it, or set {setting}"
        raise VaultDenied(message)
    return value
