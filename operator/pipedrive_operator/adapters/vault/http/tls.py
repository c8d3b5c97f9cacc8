"""The TLS context of one connection: which CAs it trusts and which client certificate it presents.

Both come from files or Secrets. A context can add a trusted CA and cannot remove one, so a new context replaces it when
their content changes.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from pipedrive_operator.adapters.vault.material import Material
from pipedrive_operator.config.sections import SecretReference
from pipedrive_operator.config.vault import VaultConnectionSettings
from pipedrive_operator.core.values.errors import VaultDenied, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue


class Tls:
    """The TLS side of one connection."""

    def __init__(self, name: str, settings: VaultConnectionSettings, material: Material) -> None:
        """Use these settings; nothing is read before `load`."""
        self._name, self._settings, self._material = name, settings, material
        self._has_own_ca = settings.ca_file is not None or settings.ca_secret_ref is not None
        self._presents_certificate = (
            settings.client_certificate_file is not None or settings.client_certificate_secret_ref is not None
        )
        self._loaded: tuple[SecretValue, ...] = ()
        self.context = self._new_context()
        """Replaced by a `load` that finds other certificates."""

    async def load(self) -> None:
        """Read the configured CA, which is then the only one trusted, and the client certificate.

        Raises:
            VaultUnavailable: one of them cannot be used, or the API server gave no usable response.
        """
        ca = await self._ca() if self._has_own_ca else ()
        presented = await self._certificate() if self._presents_certificate else ()
        if (*ca, *presented) == self._loaded:
            return
        context = self._new_context()
        self._trust(context, ca)
        self._present(context, presented)
        self.context, self._loaded = context, (*ca, *presented)

    def _new_context(self) -> ssl.SSLContext:
        if self._has_own_ca:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx.create_ssl_context(trust_env=False)

    async def _ca(self) -> tuple[SecretValue, ...]:
        settings = self._settings
        try:
            return (await self._material.value("ca", settings.ca_file, settings.ca_secret_ref),)
        except VaultDenied as error:
            raise self._ca_unreadable() from error

    async def _certificate(self) -> tuple[SecretValue, ...]:
        settings, (crt, key) = self._settings, self._certificate_keys()
        try:
            certificate = await self._material.value("clientCertificate", settings.client_certificate_file, crt)
            return certificate, await self._material.value("clientKey", settings.client_key_file, key)
        except VaultDenied as error:
            raise self._certificate_unreadable() from error

    def _trust(self, context: ssl.SSLContext, ca: tuple[SecretValue, ...]) -> None:
        try:
            for certificates in ca:
                # Bundles have comments in many languages, and the ssl module accepts ASCII only.
                context.load_verify_locations(cadata=certificates.reveal().encode("ascii", "replace").decode())
        except (ValueError, OSError) as error:
            raise self._ca_unreadable() from error

    def _present(self, context: ssl.SSLContext, presented: tuple[SecretValue, ...]) -> None:
        if not presented:
            return
        certificate, private_key = presented
        try:
            with _in_memory(certificate) as certificate_file, _in_memory(private_key) as key_file:
                context.load_cert_chain(certificate_file, key_file, password="")
        except (ValueError, OSError) as error:
            raise self._certificate_unreadable() from error

    def _ca_unreadable(self) -> VaultUnavailable:
        source = _describe(self._settings.ca_file, self._settings.ca_secret_ref)
        return VaultUnavailable(
            f"The CA certificates for Vault ({self._name}) cannot be read from {source}: correct "
            f"vault.connections.{self._name}.caFile or caSecretRef"
        )

    def _certificate_unreadable(self) -> VaultUnavailable:
        source = _describe(self._settings.client_certificate_file, self._certificate_keys()[0])
        return VaultUnavailable(
            f"The client certificate for Vault ({self._name}), or its key, cannot be read from {source}: correct "
            f"vault.connections.{self._name}.clientCertificateFile and clientKeyFile, or clientCertificateSecretRef"
        )

    def _certificate_keys(self) -> tuple[SecretReference | None, SecretReference | None]:
        reference = self._settings.client_certificate_secret_ref
        if reference is None:
            return None, None
        return (
            SecretReference(name=reference.name, key="tls.crt"),
            SecretReference(name=reference.name, key="tls.key"),
        )


@contextmanager
def _in_memory(value: SecretValue) -> Iterator[str]:
    """Provide a value as a file in memory: the ssl module reads keys from files only, and no key may touch a disk."""
    descriptor = os.memfd_create("vault")
    try:
        os.write(descriptor, value.reveal().encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _describe(file: object, reference: SecretReference | None) -> str:
    return str(file) if reference is None else f"key {reference.key} of Secret {reference.name}"
