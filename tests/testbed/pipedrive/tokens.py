"""Generates codes and tokens in Pipedrive's formats, and the digests that identify them in the ledger."""

import base64
import hashlib
import secrets
from typing import Final

DIGEST_LENGTH: Final = 12


def access_token() -> str:
    """Return an access token as long as the vendor's example, 513 characters, with `:`, `+`, `/` and `=`."""
    head = base64.b64encode(secrets.token_bytes(24)).decode()
    # 356 bytes and not 357, so that the token ends with padding, which clients forget to percent-encode.
    tail = base64.b64encode(secrets.token_bytes(356)).decode()
    return f"v1u:{head}:{tail}"


def refresh_token(company_id: int, user_id: int) -> str:
    """Return a refresh token `company:user:40 hex`."""
    return f"{company_id}:{user_id}:{secrets.token_hex(20)}"


def authorization_code(company_id: int, user_id: int) -> str:
    """Return an authorization code `company.user.42 hex`."""
    return f"{company_id}.{user_id}.{secrets.token_hex(21)}"


def api_token() -> str:
    """Return an API token of 40 lower-case hex characters."""
    return secrets.token_hex(20)


def digest_of(token: str) -> str:
    """Return the first 12 hex characters of the token's SHA-256: enough to distinguish tokens."""
    return whole_digest_of(token)[:DIGEST_LENGTH]


def whole_digest_of(token: str) -> str:
    """Return the token's SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()
