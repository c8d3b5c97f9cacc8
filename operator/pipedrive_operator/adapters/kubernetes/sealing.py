"""Encrypts what the escrow keeps, with AES-GCM and a key that is derived for each refresh."""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipedrive_operator.core.values.secret_value import SecretValue

_NONCE_BYTES: Final = 12


def seal(text: bytes, key: SecretValue, salt: str, *, bound_to: bytes) -> bytes:
    """Encrypt a text; only the same key, salt and `bound_to` decrypt it."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(_derived(key, salt)).encrypt(nonce, text, bound_to)


def unseal(sealed: bytes, key: SecretValue, salt: str, *, bound_to: bytes) -> bytes:
    """Decrypt what `seal` returned.

    Raises:
        ValueError: it cannot be decrypted.
    """
    try:
        return AESGCM(_derived(key, salt)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to)
    except InvalidTag as error:
        raise ValueError("cannot be decrypted") from error


def _derived(key: SecretValue, salt: str) -> bytes:
    derivation = HKDF(algorithm=SHA256(), length=32, salt=salt.encode(), info=b"pipedrive-operator escrow v1")
    return derivation.derive(key.reveal().encode())
