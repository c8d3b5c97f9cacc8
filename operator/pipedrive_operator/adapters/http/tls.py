"""Builds the TLS context of a connection: which CAs it trusts, and which client certificate it presents.

A context can add a trusted CA and cannot remove one, so a new context replaces it when certificates change.
"""

import os
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import httpx

from pipedrive_operator.adapters.http.certificates import certificates_in
from pipedrive_operator.core.values.errors import Trouble
from pipedrive_operator.core.values.secret_value import SecretValue

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSource(Generic[Read]):
    """Where certificates come from, and which error explains that they cannot be used."""

    read: Callable[[], Awaitable[Read]]
    """Returns the current value, and raises a Trouble if there is none."""
    unusable: Callable[[], Trouble]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """A certificate with its private key, both PEM."""

    certificate: SecretValue
    key: SecretValue


class Tls:
    """The TLS context of one connection, built from what the settings name at the moment."""

    def __init__(
        self,
        *,
        ca: CertificateSource[SecretValue] | None = None,
        client_certificate: CertificateSource[ClientCertificate] | None = None,
    ) -> None:
        """Without a CA, trust the public ones; nothing is read before `load`."""
        self._ca: Final = ca
        self._client_certificate: Final = client_certificate
        self._loaded: tuple[SecretValue | None, ClientCertificate | None] = (None, None)
        self.context = new_context(trusts_public=ca is None)
        """Replaced by a `load` that found other certificates."""

    async def load(self) -> None:
        """Read the certificates. A configured CA is then the only one that is trusted.

        Raises:
            Trouble: of the source, if it cannot be read or does not hold what it should; the context stays as it was.
        """
        ca = None if self._ca is None else await self._ca.read()
        shown = None if self._client_certificate is None else await self._client_certificate.read()
        if (ca, shown) == self._loaded:
            return
        context = new_context(trusts_public=ca is None)
        if self._ca is not None and ca is not None:
            _trust(context, ca, self._ca)
        if self._client_certificate is not None and shown is not None:
            _present(context, shown, self._client_certificate)
        self.context, self._loaded = context, (ca, shown)


def new_context(*, trusts_public: bool) -> ssl.SSLContext:
    """Return a client's context that trusts the public CAs, or none yet, with the same rules on every Python.

    Python 3.13 requires an Authority Key Identifier and more by default (VERIFY_X509_STRICT). Private CAs, such as
    those of older clusters and of proxies that inspect TLS, issue certificates without it.
    """
    context = httpx.create_ssl_context(trust_env=False) if trusts_public else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _trust(context: ssl.SSLContext, ca: SecretValue, source: CertificateSource[SecretValue]) -> None:
    try:
        context.load_verify_locations(cadata=certificates_in(ca.reveal().encode()).reveal())
    except (ValueError, OSError) as error:
        raise source.unusable() from error


def _present(context: ssl.SSLContext, shown: ClientCertificate, source: CertificateSource[ClientCertificate]) -> None:
    try:
        with _file_in_memory(shown.certificate) as certificate, _file_in_memory(shown.key) as key:
            context.load_cert_chain(certificate, key, password="")
    except (ValueError, OSError) as error:
        raise source.unusable() from error


@contextmanager
def _file_in_memory(value: SecretValue) -> Iterator[str]:
    """Name a file that exists in memory only: the ssl module reads keys from files, and no key may reach a disk."""
    descriptor = os.memfd_create("tls")
    try:
        os.write(descriptor, value.reveal().encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
