"""The report of an uninstall: Pipedrive's callback, and the proof that the front hands on to the operator.

Pipedrive sends the client id and the client secret with the callback
(https://pipedrive.readme.io/docs/app-uninstallation). The front uses the secret as the key of an authentication code
over the report and forgets it, so that the secret does not cross the cluster's network. The operator knows the secret
from Vault and computes the code again. Nothing is decided here; a report never deletes anything.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipedrive_operator.core.values.ids import read_id
from pipedrive_operator.core.values.secret_value import SecretValue

LARGEST_REPORT: Final = 4096
"""How many bytes the body of a callback or a report may have."""
_LABEL: Final = "pipedrive-operator.io/uninstall/v1"
_CLIENT_ID: Final = re.compile(r"[!-9;-~]{1,256}")
"""Printable ASCII without a colon, which separates it from the secret (RFC 7617, section 2)."""
_TIMESTAMP: Final = re.compile(r"[ -~]{0,64}")
_PROOF: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UninstallReport:
    """Pipedrive's report that a user has uninstalled an app."""

    client_id: str
    company_id: int
    user_id: int
    timestamp: str
    """When the app was uninstalled, as Pipedrive writes it; the format is not documented."""
    proof: str
    """An authentication code of the other fields under the client secret, in hexadecimal."""

    def is_proven_by(self, client_secret: SecretValue) -> bool:
        """Return whether the sender knew the client secret, compared in constant time."""
        return hmac.compare_digest(self.proof.encode(), _proof(self, client_secret).encode())

    def manifest(self) -> dict[str, Any]:
        """Return the report as the operator's endpoint takes it."""
        return {
            "clientId": self.client_id,
            "companyId": self.company_id,
            "userId": self.user_id,
            "timestamp": self.timestamp,
            "proof": self.proof,
        }


def read_uninstall_callback(body: bytes, authorization: str | None) -> UninstallReport | None:
    """Return the report in Pipedrive's callback, or None if it is not one.

    Whether the credentials in the header are right is not known here.
    """
    fields, basic = _read_object(body), _read_basic(authorization or "")
    if fields is None or basic is None or fields.get("client_id") != basic[0]:
        return None
    renamed = {
        "clientId": basic[0],
        "companyId": fields.get("company_id"),
        "userId": fields.get("user_id"),
        "timestamp": str(fields.get("timestamp") or ""),
        "proof": "0" * 64,
    }
    unproven = _read_fields(renamed)
    return None if unproven is None else _read_fields({**renamed, "proof": _proof(unproven, basic[1])})


def read_report(body: bytes) -> UninstallReport | None:
    """Return the report that a front has sent, or None if it is not one."""
    fields = _read_object(body)
    return None if fields is None else _read_fields(fields)


def _read_object(body: bytes) -> Mapping[str, Any] | None:
    try:
        value = json.loads(body) if len(body) <= LARGEST_REPORT else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _read_fields(fields: Mapping[str, Any]) -> UninstallReport | None:
    company_id, user_id = read_id(fields.get("companyId")), read_id(fields.get("userId"))
    client_id, timestamp, proof = (fields.get(name) for name in ("clientId", "timestamp", "proof"))
    if company_id is None or user_id is None:
        return None
    if not (_fits(_CLIENT_ID, client_id) and _fits(_TIMESTAMP, timestamp) and _fits(_PROOF, proof)):
        return None
    return UninstallReport(
        client_id=str(client_id), company_id=company_id, user_id=user_id, timestamp=str(timestamp), proof=str(proof)
    )


def _fits(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _read_basic(header: str) -> tuple[str, SecretValue] | None:
    """Return the user and the password of HTTP Basic authentication (RFC 7617), or None."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:  # not Base64, not even ASCII, or not UTF-8 inside
        return None
    return (user, SecretValue(password)) if colon and user and password else None


def _proof(report: UninstallReport, client_secret: SecretValue) -> str:
    fields = (_LABEL, report.client_id, report.company_id, report.user_id, report.timestamp)
    return hmac.new(client_secret.reveal().encode(), json.dumps(fields).encode(), hashlib.sha256).hexdigest()
