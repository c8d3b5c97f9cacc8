"""Whom a connection trusts and what it shows of itself: a TLS context of what files or Secrets hold.

A context can learn to trust and not to distrust, so that another one is made when what they hold has changed.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from pipedrive_operator.adapters.vault.errors import authority_unreadable, certificate_unreadable
from pipedrive_operator.adapters.vault.material import Material
from pipedrive_operator.config.sections import SecretReference
from pipedrive_operator.config.vault import VaultConnectionSettings
from pipedrive_operator.core.values.errors import VaultDenied, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue


class Tls:
    """The TLS side of one connection."""

    def __init__(self, name: str, settings: VaultConnectionSettings, material: Material) -> None:
        """Take the settings; nothing is read before `load`."""
        self._name, self._settings, self._material = name, settings, material
        self._has_own_authority = settings.ca_file is not None or settings.ca_secret_ref is not None
        self._shows_certificate = (
            settings.client_certificate_file is not None or settings.client_certificate_secret_ref is not None
        )
        self._loaded: tuple[SecretValue, ...] = ()
        self.context = self._new_context()
        """Another one after a `load` that found something else."""

    async def load(self) -> None:
        """Read the configured authority, which is then trusted alone, and the certificate to show.

        Raises:
            VaultUnavailable: one of them cannot be used; or the API server gave no usable answer.
        """
        authority = await self._authority() if self._has_own_authority else ()
        shown = await self._certificate() if self._shows_certificate else ()
        if (*authority, *shown) == self._loaded:
            return
        context = self._new_context()
        self._trust(context, authority)
        self._show(context, shown)
        self.context, self._loaded = context, (*authority, *shown)

    def _new_context(self) -> ssl.SSLContext:
        if self._has_own_authority:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx.create_ssl_context(trust_env=False)

    async def _authority(self) -> tuple[SecretValue, ...]:
        settings = self._settings
        try:
            return (await self._material.value("ca", settings.ca_file, settings.ca_secret_ref),)
        except VaultDenied as error:
            raise self._authority_unreadable() from error

    async def _certificate(self) -> tuple[SecretValue, ...]:
        settings, (crt, key) = self._settings, self._certificate_keys()
        try:
            certificate = await self._material.value("clientCertificate", settings.client_certificate_file, crt)
            return certificate, await self._material.value("clientKey", settings.client_key_file, key)
        except VaultDenied as error:
            raise self._certificate_unreadable() from error

    def _trust(self, context: ssl.SSLContext, authority: tuple[SecretValue, ...]) -> None:
        try:
            for certificates in authority:
                # Bundles have comments in many languages, and the ssl module wants ASCII.
                context.load_verify_locations(cadata=certificates.reveal().encode("ascii", "replace").decode())
        except (ValueError, OSError) as error:
            raise self._authority_unreadable() from error

    def _show(self, context: ssl.SSLContext, shown: tuple[SecretValue, ...]) -> None:
        if not shown:
            return
        certificate, private = shown
        try:
            with _held(certificate) as first, _held(private) as second:
                context.load_cert_chain(first, second, password="")
        except (ValueError, OSError) as error:
            raise self._certificate_unreadable() from error

    def _authority_unreadable(self) -> VaultUnavailable:
        return authority_unreadable(self._name, _place(self._settings.ca_file, self._settings.ca_secret_ref))

    def _certificate_unreadable(self) -> VaultUnavailable:
        crt, _ = self._certificate_keys()
        return certificate_unreadable(self._name, _place(self._settings.client_certificate_file, crt))

    def _certificate_keys(self) -> tuple[SecretReference | None, SecretReference | None]:
        reference = self._settings.client_certificate_secret_ref
        if reference is None:
            return None, None
        return (
            SecretReference(name=reference.name, key="tls.crt"),
            SecretReference(name=reference.name, key="tls.key"),
        )


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
