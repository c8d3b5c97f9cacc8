"""Reading certificate authorities from PEM files, no matter what surrounds the certificates."""

import re
import ssl
from pathlib import Path

import pytest

from pipedrive_operator.adapters.http.certificates import certificates_in, read_ca_file
from testbed.certificates import Authority


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the certificate of an authority."""
    return Authority(tmp_path_factory.mktemp("authority")).certificate.read_bytes()


def trusted(content: bytes) -> int:
    """Return how many authorities OpenSSL finds in what is read from a file's content."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=certificates_in(content).reveal())
    return context.cert_store_stats()["x509_ca"]


@pytest.mark.parametrize(
    "around",
    [
        b"%s",
        b"\xef\xbb\xbf%s",
        "# Arany (Class Gold) F\N{LATIN SMALL LETTER O WITH DOUBLE ACUTE}tanúsítvány\n%s".encode(),
        "# Autorité\n%s".encode("latin-1"),
        b"\x00\xff\n%s\n\xfe",
        b"Issuer: somebody\nSubject: somebody\n%s\n",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n%s",
    ],
)
def test_what_surrounds_a_certificate_is_a_comment(pem: bytes, around: bytes) -> None:
    """A byte order mark, another encoding, or the text that openssl prints before a certificate."""
    assert trusted(around.replace(b"%s", pem)) == 1


def test_line_ends_of_windows_are_read(pem: bytes) -> None:
    """Such files are mounted from ConfigMaps."""
    assert trusted(pem.replace(b"\n", b"\r\n")) == 1


def test_every_certificate_of_a_bundle_is_read(pem: bytes, tmp_path: Path) -> None:
    """The former authority and the one that replaces it."""
    assert trusted(pem + b"# next\n" + Authority(tmp_path).certificate.read_bytes()) == 2


def test_a_certificate_that_is_half_written_is_rejected(pem: bytes, tmp_path: Path) -> None:
    """This holds after a complete one, too: otherwise the rest of the bundle would silently not be trusted."""
    half = Authority(tmp_path).certificate.read_bytes()[:-60]

    with pytest.raises(ssl.SSLError):
        trusted(pem + half)


@pytest.mark.parametrize("content", [b"", b"this is no certificate", b"-----BEGIN PRIVATE KEY-----\nAA==\n"])
def test_a_file_without_certificates_holds_none(content: bytes) -> None:
    """The ssl module raises an error for an empty list."""
    assert not certificates_in(content)
    with pytest.raises(ValueError, match=re.escape("Empty certificate data")):
        trusted(content)


def test_a_missing_file_raises_an_oserror(tmp_path: Path) -> None:
    """The caller knows which setting names it."""
    with pytest.raises(FileNotFoundError):
        read_ca_file(tmp_path / "ca.crt")
