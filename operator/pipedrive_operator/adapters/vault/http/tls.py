"""Which CAs a Vault connection trusts and which client certificate it presents, as files or Secrets hold them."""

from dataclasses import dataclass

from pipedrive_operator.adapters.http.certificates import read_ca_file
from pipedrive_operator.adapters.http.tls import CertificateSource, ClientCertificate, Tls
from pipedrive_operator.adapters.vault.material import Material
from pipedrive_operator.config.sections import SecretReference
from pipedrive_operator.config.vault import VaultConnectionSettings
from pipedrive_operator.core.values.errors import VaultDenied, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue


def vault_tls(name: str, settings: VaultConnectionSettings, material: Material) -> Tls:
    """Return the TLS of the connection of that name; nothing is read yet."""
    sources = _Sources(name, settings, material)
    has_own_ca = settings.ca_file is not None or settings.ca_secret_ref is not None
    presents_certificate = (
        settings.client_certificate_file is not None or settings.client_certificate_secret_ref is not None
    )
    return Tls(
        ca=CertificateSource(read=sources.ca, unusable=sources.ca_unreadable) if has_own_ca else None,
        client_certificate=(
            CertificateSource(read=sources.certificate, unusable=sources.certificate_unreadable)
            if presents_certificate
            else None
        ),
    )


@dataclass(frozen=True, slots=True)
class _Sources:
    name: str
    settings: VaultConnectionSettings
    material: Material

    async def ca(self) -> SecretValue:
        """Return the configured CA. Raises VaultUnavailable."""
        try:
            if self.settings.ca_file is not None:
                return read_ca_file(self.settings.ca_file)
            return await self.material.value("ca", None, self.settings.ca_secret_ref)
        except (VaultDenied, OSError) as error:
            raise self.ca_unreadable() from error

    async def certificate(self) -> ClientCertificate:
        """Return the client certificate and its key. Raises VaultUnavailable."""
        settings, (crt, key) = self.settings, self._certificate_keys()
        try:
            certificate = await self.material.value("clientCertificate", settings.client_certificate_file, crt)
            private_key = await self.material.value("clientKey", settings.client_key_file, key)
        except VaultDenied as error:
            raise self.certificate_unreadable() from error
        return ClientCertificate(certificate=certificate, key=private_key)

    def ca_unreadable(self) -> VaultUnavailable:
        """Name the setting of the CA."""
        source = _describe(self.settings.ca_file, self.settings.ca_secret_ref)
        return VaultUnavailable(
            f'The CA certificates for Vault connection "{self.name}" cannot be read from {source}: correct '
            f"vault.connections.{self.name}.caFile or caSecretRef"
        )

    def certificate_unreadable(self) -> VaultUnavailable:
        """Name the settings of the client certificate."""
        source = _describe(self.settings.client_certificate_file, self._certificate_keys()[0])
        return VaultUnavailable(
            f'The client certificate for Vault connection "{self.name}", or its key, cannot be read from {source}: '
            f"correct vault.connections.{self.name}.clientCertificateFile and clientKeyFile, or "
            "clientCertificateSecretRef"
        )

    def _certificate_keys(self) -> tuple[SecretReference | None, SecretReference | None]:
        reference = self.settings.client_certificate_secret_ref
        if reference is None:
            return None, None
        return (
            SecretReference(name=reference.name, key="tls.crt"),
            SecretReference(name=reference.name, key="tls.key"),
        )


def _describe(file: object, reference: SecretReference | None) -> str:
    return str(file) if reference is None else f"key {reference.key} of Secret {reference.name}"
