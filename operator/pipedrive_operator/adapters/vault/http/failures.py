"""Maps failures of the network and of TLS to the operator's errors, as tables. Pure; responses are mapped in errors.py.

A message says what happened and why, then a colon and what to do next.
"""

import ssl
from typing import Final

import aiohttp
import httpx

from pipedrive_operator.adapters.http.causes import cause_chain
from pipedrive_operator.adapters.vault.request_and_response import ResponseMissing
from pipedrive_operator.core.values.errors import VaultUnavailable

_CLIENT_CERTIFICATE: Final = "{setting}.clientCertificateFile and clientKeyFile, or clientCertificateSecretRef"

_UNTRUSTED: Final = (
    "presents a certificate that is not trusted: set {setting}.caFile or caSecretRef to the certificate of the CA that "
    "issued it"
)
_WRONG_HOST: Final = (
    "presents a certificate for another host name: correct {setting}.address, or set {setting}.serverName to a name "
    "in the certificate"
)
_CERTIFICATE_FAULTS: Final = {
    9: "presents a certificate that is not valid yet: check the clocks on both sides",
    10: "presents a certificate that has expired: renew the server's certificate",
    62: _WRONG_HOST,
    64: _WRONG_HOST,
}
"""By OpenSSL's number for the failed verification (`man X509_STORE_CTX_get_error`)."""

_CERTIFICATE_REQUIRED: Final = f"requires a client certificate that it trusts: set {_CLIENT_CERTIFICATE}"
_ALERTS: Final = {
    "alert certificate expired": (
        "rejects the operator's client certificate, which has expired: renew the certificate in " + _CLIENT_CERTIFICATE
    ),
    "certificate required": _CERTIFICATE_REQUIRED,
    "bad certificate": _CERTIFICATE_REQUIRED,
    "alert unknown ca": _CERTIFICATE_REQUIRED,
    "certificate unknown": _CERTIFICATE_REQUIRED,
    "certificate revoked": _CERTIFICATE_REQUIRED,
    "unsupported certificate": _CERTIFICATE_REQUIRED,
}
"""By OpenSSL's words for the TLS alert with which the server rejects the client's certificate."""

_INVALID_HTTP: Final = (
    "sends a response that is not valid HTTP or whose headers are too large: check whether a proxy responds in its "
    "place, and which headers it adds"
)
_CUT_OFF: Final = (
    "closes the connection before its response is complete: check its log, and the log of any proxy in between"
)
_KINDS: Final = (
    (TimeoutError, "does not respond in time: check whether it is overloaded or a firewall drops the traffic"),
    (
        ssl.SSLError,
        "fails in the TLS handshake: check whether it serves plain HTTP, or only TLS versions before 1.2",
    ),
    (aiohttp.ClientConnectorDNSError, "has a host name that cannot be resolved: correct {setting}.address"),
    (aiohttp.ClientResponseError, _INVALID_HTTP),
    (aiohttp.ServerDisconnectedError, _CUT_OFF),
    (aiohttp.ClientPayloadError, _CUT_OFF),
    (Exception, "cannot be reached: check whether it is running, and check {setting}.address"),
)
"""By the kind of exception; the first match decides."""

_CONNECTING: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout, ssl.SSLError)


def no_response(error: Exception, name: str, address: str) -> VaultUnavailable:
    """Explain a request without a response."""
    reason = _certificate_fault(error) or _rejection(error) or _kind(error)
    kind = VaultUnavailable if _is_about_connecting(error) else ResponseMissing
    return kind(f'Vault connection "{name}" at {address} {reason.format(setting=f"vault.connections.{name}")}')


def _is_about_connecting(error: BaseException) -> bool:
    """Return whether no connection was made, or TLS failed. A later failure may concern one document only."""
    return any(isinstance(link, _CONNECTING) for link in cause_chain(error))


def _certificate_fault(error: BaseException) -> str | None:
    """Return what is wrong with the server's certificate; None if nothing is."""
    chain = tuple(cause_chain(error))
    if not any(isinstance(link, ssl.SSLCertVerificationError) for link in chain):
        return None
    # aiohttp's own error has the same base class, and no number.
    number = next((number for link in chain if (number := getattr(link, "verify_code", None))), 0)
    return _CERTIFICATE_FAULTS.get(number, _UNTRUSTED)


def _rejection(error: BaseException) -> str | None:
    """Return why the server rejects the client's certificate; None if it does not."""
    words = " ".join(str(link).lower() for link in cause_chain(error))
    return next((reason for alert, reason in _ALERTS.items() if alert in words), None)


def _kind(error: BaseException) -> str:
    chain = tuple(cause_chain(error))
    return next(reason for kind, reason in _KINDS if any(isinstance(link, kind) for link in chain))
