"""Issues the certificates and keys of a control plane for one run; none is suitable for production."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = timedelta(days=30)
_CLOCK_SKEW = timedelta(hours=1)
_PRIVATE = 0o600


@dataclass(frozen=True)
class KeyPair:
    """The files of a private key and of its certificate or bare public key."""

    public: Path
    key: Path


class Authority:
    """A certificate authority that writes everything it issues into one folder."""

    def __init__(self, folder: Path) -> None:
        """Create an authority; `self.certificate` is the file of its own certificate."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = _new_key()
        self._name = _name("testbed-ca", ())
        self.certificate = folder / "ca.crt"
        self.certificate.write_bytes(_pem(self._own_certificate()))

    def serving(
        self, name: str, hosts: Iterable[str], *, lifetime: timedelta = _LIFETIME, names_issuer: bool = True
    ) -> KeyPair:
        """Issue a server certificate for host names and IP addresses; with a negative lifetime it has already expired.

        With `names_issuer` it contains an Authority Key Identifier, which OpenSSL's strict verification requires.
        """
        alternatives = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
        builder = self._builder(_name(name, ()), lifetime).add_extension(alternatives, critical=False)
        if names_issuer:
            builder = builder.add_extension(self._identifier, critical=False)
        return self._issue(name, builder, ExtendedKeyUsageOID.SERVER_AUTH)

    def client(
        self, file_name: str, *, user: str, groups: Iterable[str] = (), lifetime: timedelta = _LIFETIME
    ) -> KeyPair:
        """Issue a client certificate, which authenticates to Kubernetes as `user` in `groups`."""
        builder = self._builder(_name(user, groups), lifetime).add_extension(self._identifier, critical=False)
        return self._issue(file_name, builder, ExtendedKeyUsageOID.CLIENT_AUTH)

    @property
    def _identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())

    def _issue(self, file_name: str, builder: x509.CertificateBuilder, usage: x509.ObjectIdentifier) -> KeyPair:
        key = _new_key()
        certificate = (
            builder.public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pair = KeyPair(self._folder / f"{file_name}.crt", self._folder / f"{file_name}.key")
        pair.public.write_bytes(_pem(certificate))
        _write_key(key, pair.key)
        return pair

    def _own_certificate(self) -> x509.Certificate:
        public = self._key.public_key()
        return (
            self._builder(self._name)
            .public_key(public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_ca_usage(), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _builder(self, subject: x509.Name, lifetime: timedelta = _LIFETIME) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + lifetime)
        )


def signing_key(folder: Path, name: str) -> KeyPair:
    """Create a key pair without a certificate."""
    key = _new_key()
    pair = KeyPair(folder / f"{name}.pub", folder / f"{name}.key")
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    pair.public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, spki))
    _write_key(key, pair.key)
    return pair


def _new_key() -> ec.EllipticCurvePrivateKey:
    """Create a P-256 key, which is a thousand times faster than an RSA key."""
    return ec.generate_private_key(ec.SECP256R1())


def _name(common_name: str, organisations: Iterable[str]) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in organisations]
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name), *groups])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _ca_usage() -> x509.KeyUsage:
    unused = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
    )
    only_in_agreement = ("encipher_only", "decipher_only")
    return x509.KeyUsage(key_cert_sign=True, crl_sign=True, **dict.fromkeys(unused + only_in_agreement, False))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write_key(key: ec.EllipticCurvePrivateKey, path: Path) -> None:
    path.touch(mode=_PRIVATE)
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(encoded)
