"""Reads what a login needs and no setting may contain: values of files, of the operator's Secrets, and tenants' tokens.

Everything is read again for each use: the kubelet, an agent or a person may have replaced it.
"""

from pathlib import Path

from pipedrive_operator.config.sections import SecretReference
from pipedrive_operator.core.grant.document import TenantIdentity
from pipedrive_operator.core.values.errors import VaultDenied, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.ports import LoginMaterial


class Material:
    """Reads the files and Secrets that the settings of a connection name."""

    def __init__(self, name: str, cluster: LoginMaterial | None) -> None:
        """Read for the connection of that name; without a cluster, from files only."""
        self._name = name
        self._cluster = cluster

    async def value(self, setting: str, file: Path | None, reference: SecretReference | None) -> SecretValue:
        """Return the value of a setting that is a file or a Secret; `setting` is its name without the ending.

        Raises:
            VaultDenied: it is missing or empty.
            VaultUnavailable: the API server gave no usable response.
        """
        full = f"vault.connections.{self._name}.{setting}"
        if reference is not None:
            return await self._from_secret(reference, f"{full}SecretRef")
        if file is not None:
            return _from_file(file, f"{full}File")
        message = f'The login to Vault connection "{self._name}" is not configured: set {full}File or {full}SecretRef'
        raise VaultDenied(message)

    async def service_account_token(self, identity: TenantIdentity, audience: str) -> SecretValue:
        """Return a new token of a tenant's ServiceAccount. Raises VaultDenied, VaultUnavailable."""
        if self._cluster is None:
            raise _no_cluster("A token of a ServiceAccount")
        return await self._cluster.service_account_token(identity, audience)

    async def _from_secret(self, reference: SecretReference, setting: str) -> SecretValue:
        if self._cluster is None:
            raise _no_cluster("A Secret that holds a setting")
        value = await self._cluster.secret(reference.name, reference.key)
        if not value:
            message = (
                f'The operator cannot log in to Vault connection "{self._name}" because key {reference.key} of Secret '
                f"{reference.name} in the operator's namespace is missing or empty: write it, or set {setting}"
            )
            raise VaultDenied(message)
        return value


def _no_cluster(what: str) -> VaultUnavailable:
    return VaultUnavailable(
        f"{what} is read from the API server, which is not reachable: check the operator's connection"
    )


def _from_file(path: Path, setting: str) -> SecretValue:
    try:
        value = SecretValue(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        message = (
            f"The operator cannot log in to Vault because the file {path} cannot be read: mount it, or set {setting}"
        )
        raise VaultDenied(message) from error
    if not value:
        message = f"The operator cannot log in to Vault because the file {path} is empty: fill it, or set {setting}"
        raise VaultDenied(message)
    return value
