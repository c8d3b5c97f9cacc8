"""Whom a connection trusts and what it shows of itself: one TLS context, kept up to date from files or Secrets."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from pipedrive_operator.adapters.vault.material import Material
from pipedrive_operator.adapters.vault.troubles import authority_unreadable, certificate_unreadable
from pipedrive_operator.core.errors import VaultDenied
from pipedrive_operator.core.secret_value import SecretValue
from pipedrive_operator.sections import SecretReference
from pipedrive_operator.vault_settings import VaultConnectionSettings


class Tls:
    """The TLS side of one connection."""

    def __init__(self, name: str, settings: VaultConnectionSettings, material: Material) -> None:
        """Take the settings; nothing is read before `load`."""
        self._name, self._settings, self._material = name, settings, material
        self._has_own_authority = settings.ca_file is not None or settings.ca_secret_ref is not None
        self._shows_certificate = (
            settings.client_certificate_file is not None or settings.client_certificate_secret_ref is not None
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if self._has_own_authority else _public_authorities()

    @property
    def may_change(self) -> bool:
        """Whether reading again can help."""
        return self._has_own_authority or self._shows_certificate

    async def load(self) -> None:
        """Read the configured authority, which is then trusted alone, and the certificate to show.

        Raises:
            VaultUnavailable: one of them cannot be used; or the API server gave no usable answer.
        """
        if self._has_own_authority:
            await self._trust()
        if self._shows_certificate:
            await self._show()

    async def _trust(self) -> None:
        settings = self._settings
        try:
            text = await self._material.value("ca", settings.ca_file, settings.ca_secret_ref)
            self.context.load_verify_locations(cadata=text.reveal())
        except (VaultDenied, ValueError, OSError) as error:
            raise authority_unreadable(self._name, _place(settings.ca_file, settings.ca_secret_ref)) from error

    async def _show(self) -> None:
        certificate_file, key_file = self._settings.client_certificate_file, self._settings.client_key_file
        reference = self._settings.client_certificate_secret_ref
        crt, key = (
            SecretReference(name=reference.name, key=one) if reference else None for one in ("tls.crt", "tls.key")
        )
        try:
            certificate = await self._material.value("clientCertificate", certificate_file, crt)
            private = await self._material.value("clientKey", key_file, key)
            with _held(certificate) as first, _held(private) as second:
                self.context.load_cert_chain(first, second)
        except (VaultDenied, ValueError, OSError) as error:
            raise certificate_unreadable(self._name, _place(certificate_file, crt)) from error


@contextmanager
def _held(value: SecretValue) -> Iterator[str]:
    """Name a file in memory that holds a value: the ssl module reads keys from files alone, and no disk is to."""
    descriptor = os.memfd_create("vault")
    try:
        os.write(descriptor, value.reveal().encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _place(file: object, reference: SecretReference | None) -> str:
    return str(file) if reference is None else f"key {reference.key} of Secret {reference.name}"


def _public_authorities() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)
