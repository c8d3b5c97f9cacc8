"""Reads certificate authorities from PEM files as people and distributions write them. Nothing is trusted here."""

import re
from pathlib import Path
from typing import Final

from pipedrive_operator.core.values.secret_value import SecretValue

_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN (X509 )?CERTIFICATE-----.*?(?:-----END (X509 )?CERTIFICATE-----|\Z)", re.DOTALL
)
"""A PEM block (RFC 7468). One without an end is included, so that OpenSSL rejects a file that is half written."""


def read_ca_file(path: Path) -> SecretValue:
    """Return the certificates of a PEM file; empty if there are none. Raises OSError."""
    return certificates_in(path.read_bytes())


def certificates_in(content: bytes) -> SecretValue:
    """Return the PEM blocks of certificates, in ASCII, which is what the ssl module accepts.

    Everything between the blocks is a comment (RFC 7468 section 2). Comments are in any language and encoding, and a
    byte order mark may come first, so that the content as a whole may be neither ASCII nor UTF-8.
    """
    blocks = (block.group().decode("ascii", "replace") for block in _CERTIFICATE.finditer(content))
    return SecretValue("\n".join(blocks))
