"""From answers and failures of the network to our errors: the one place where that is decided. Pure.

A message says what happened, a colon, and what to do. It may quote Vault's reason, and never a request.
"""

import ssl
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final

import aiohttp

from pipedrive_operator.adapters.vault.exchange import Answer
from pipedrive_operator.core.grant.document import OPERATOR, VaultIdentity, VaultLocation
from pipedrive_operator.core.values.errors import (
    CheckAndSetConflict,
    OperatorError,
    SourceMissing,
    VaultDenied,
    VaultUnavailable,
)

_CONFLICT: Final = "check-and-set parameter did not match"
_UPGRADING: Final = "Upgrading from non-versioned to versioned"
"""A KV engine says so, with status 400, for a moment after it was mounted or enabled to keep versions."""
_NO_ACTIVE: Final = "active cluster node not found"
_STANDBY: Final = frozenset({472, 473})
_EXPIRED: Final = 10
_OTHER_NAME: Final = frozenset({62, 64})
_NOT_YET: Final = 9
_OURS_EXPIRED: Final = "alert certificate expired"
_CERTIFICATE_WANTED: Final = (
    "certificate required",
    "bad certificate",
    "alert unknown ca",
    "certificate unknown",
    "certificate revoked",
    "unsupported certificate",
)
_NO_NAMESPACE: Final = "namespace not found"

READ: Final = ("read",)
WRITE: Final = ("create", "update")
"""The capabilities that a request needs."""


def no_answer(error: Exception, name: str, address: str) -> VaultUnavailable:
    """Explain a request that brought no answer."""
    where = f"Vault ({name}) at {address}"
    if isinstance(error, TimeoutError):
        return VaultUnavailable(
            f"{where} does not answer in time: see whether it is overloaded or a firewall is between"
        )
    if _caused_by(error, ssl.SSLCertVerificationError) is not None:
        return VaultUnavailable(f"{where} {_distrust(error, name)}")
    if (refusal := _refusal(error, name)) is not None:
        return VaultUnavailable(f"{where} {refusal}")
    if _caused_by(error, ssl.SSLError):
        return VaultUnavailable(f"{where} speaks no TLS that we understand: see whether its address is an http:// one")
    if _caused_by(error, aiohttp.ClientConnectorDNSError):
        return VaultUnavailable(f"{where} has a name that is not known: correct vault.connections.{name}.address")
    return VaultUnavailable(
        f"{where} cannot be reached: see whether it runs, and check vault.connections.{name}.address"
    )


def is_about_tls(error: BaseException) -> bool:
    """Tell whether a connection failed by what the two sides show each other."""
    return _caused_by(error, ssl.SSLError) is not None


def _refusal(error: BaseException, name: str) -> str | None:
    """Say why the server refuses what we show (the words are OpenSSL's for the alerts of TLS); None if it does not."""
    words = " ".join(str(link).lower() for link in _chain(error))
    ours = f"vault.connections.{name}.clientCertificateFile and clientKeyFile, or clientCertificateSecretRef"
    if _OURS_EXPIRED in words:
        return f"does not accept our certificate, which has expired: renew that of {ours}"
    if any(word in words for word in _CERTIFICATE_WANTED):
        return f"does not accept us without a certificate that it trusts: set {ours}"
    return None


def _distrust(error: BaseException, name: str) -> str:
    """Say what is wrong with a certificate (the numbers are OpenSSL's, `man x509_verify`)."""
    code = next((number for link in _chain(error) if (number := getattr(link, "verify_code", None))), None)
    setting = f"vault.connections.{name}"
    if code == _EXPIRED:
        return "has a certificate that has expired: renew the server's certificate"
    if code in _OTHER_NAME:
        return (
            f"has a certificate for another name: correct {setting}.address, or set {setting}.serverName to a name "
            "that the certificate is for"
        )
    if code == _NOT_YET:
        return "has a certificate that is not valid yet: see whether the clocks of both sides are right"
    return f"has a certificate that is not trusted: set {setting}.caFile or caSecretRef to the authority's certificate"


def authority_unreadable(name: str, place: str) -> VaultUnavailable:
    """Explain certificates of an authority that cannot be used."""
    return VaultUnavailable(
        f"The certificates for Vault ({name}) cannot be read from {place}: correct vault.connections.{name}.caFile "
        "or caSecretRef"
    )


def certificate_unreadable(name: str, place: str) -> VaultUnavailable:
    """Explain a certificate of ours that cannot be used."""
    return VaultUnavailable(
        f"The certificate to show to Vault ({name}), or its key, cannot be read from {place}: correct "
        f"vault.connections.{name}.clientCertificateFile and clientKeyFile, or clientCertificateSecretRef"
    )


def unusable(answer: Answer, name: str) -> VaultUnavailable | None:
    """Explain an answer that a serving Vault does not give; None where it is one that it gives."""
    if answer.status == HTTPStatus.SERVICE_UNAVAILABLE and "sealed" in answer.errors:
        return sealed(name)
    fault = _standby(answer, name) or _fault(answer, name)
    return None if fault is None else VaultUnavailable(f"Vault ({name}) {fault}", retry_after=answer.retry_after)


def sealed(name: str) -> VaultUnavailable:
    """Explain a sealed server."""
    return VaultUnavailable(f"Vault ({name}) is sealed: unseal it with `vault operator unseal`")


def uninitialised(name: str) -> VaultUnavailable:
    """Explain a server that was never set up."""
    return VaultUnavailable(f"Vault ({name}) is not initialised: set it up with `vault operator init`")


def refused(
    answer: Answer, location: VaultLocation, capabilities: tuple[str, ...], identity: VaultIdentity = OPERATOR
) -> OperatorError:
    """Explain a refusal of a request for a document, which needs these capabilities."""
    if answer.status == HTTPStatus.FORBIDDEN:
        stanza = policy_stanza(location, capabilities)
        return VaultDenied(
            f"Vault ({location.connection}) denies {identity} access to {location}: allow it by policy with {stanza}"
        )
    if answer.status == HTTPStatus.BAD_REQUEST and _CONFLICT in answer.errors:
        return CheckAndSetConflict(str(location))
    if _NO_NAMESPACE in answer.errors:
        setting = f"vault.connections.{location.connection}.namespace"
        return SourceMissing(
            f"Vault ({location.connection}) does not have the namespace that is configured: correct {setting}"
        )
    if answer.status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED} or answer.status < HTTPStatus.BAD_REQUEST:
        return not_version_two(location)
    return VaultDenied(
        f"Vault ({location.connection}) refuses the request for {location} "
        f'({answer.status} "{answer.errors}"): see its log for why'
    )


def not_version_two(location: VaultLocation) -> SourceMissing:
    """Explain a mount that is absent, or another secrets engine, or one without versions."""
    return SourceMissing(
        f"Vault ({location.connection}) has no KV version 2 secrets engine at {location.mount}/: name another mount, "
        f"or make it one with `vault secrets enable -path={location.mount} kv-v2` or "
        f"`vault kv enable-versioning {location.mount}/`"
    )


def mount_unseen(location: VaultLocation) -> SourceMissing:
    """Explain a mount that is absent, or below which the policy allows nothing: Vault tells both alike."""
    return SourceMissing(
        f"Vault ({location.connection}) shows the operator no secrets engine at {location.mount}/: enable it with "
        f"`vault secrets enable -path={location.mount} kv-v2`, or allow paths below it by policy"
    )


def rights_missing(location: VaultLocation, missing: tuple[str, ...]) -> VaultDenied:
    """Explain a policy that lacks capabilities."""
    return VaultDenied(
        f"Vault ({location.connection}) does not let the operator {', '.join(missing)} at {location}: allow it by "
        f"policy with {policy_stanza(location, (*READ, *WRITE))}"
    )


def unreadable(location: VaultLocation) -> VaultUnavailable:
    """Explain a document without the metadata that KV version 2 gives it."""
    return VaultUnavailable(
        f"Vault ({location.connection}) answers for {location} in a way that we cannot read: see its log"
    )


def policy_stanza(location: VaultLocation, capabilities: tuple[str, ...]) -> str:
    """Write the policy that allows it, as Vault reads it."""
    quoted = ", ".join(f'"{capability}"' for capability in capabilities)
    return f'path "{location.mount}/data/{location.path}" {{ capabilities = [{quoted}] }}'


def _standby(answer: Answer, name: str) -> str | None:
    """Explain a server that is not the active one and does not hand requests on to that."""
    status, where = answer.status, f"vault.connections.{name}.address"
    if status == HTTPStatus.TEMPORARY_REDIRECT:
        return (
            f"is a standby that cannot hand requests on, and redirects to {answer.redirect or 'nowhere'} ({status}), "
            "where no token is sent: see whether that server runs and its cluster port can be reached from the "
            f"standby, or set {where} to it"
        )
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and _NO_ACTIVE in answer.errors:
        return (
            "is a standby and knows no active server: wait for the election, or see `vault status` at each server, and "
            "start or unseal those that are down"
        )
    return (
        f"is a standby that does not serve ({status}): set {where} to the active server" if status in _STANDBY else None
    )


def _fault(answer: Answer, name: str) -> str | None:
    status = answer.status
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        where = f"vault.connections.{name}.address"
        return f"redirects to {answer.redirect or 'nowhere'} ({status}): set {where} to the server that serves"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "has too many requests (429): raise its rate limit quota, see `vault list sys/quotas/rate-limit`"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.PRECONDITION_FAILED:
        return f'fails with status {status} ("{answer.errors}"): see its log'
    if status == HTTPStatus.BAD_REQUEST and _UPGRADING in answer.errors:
        return "is preparing a secrets engine: wait a moment"
    if answer.body is None and status != HTTPStatus.NO_CONTENT:
        return f"answers {status} without JSON: see whether its address is an https:// one, or a proxy is between"
    return None


def _caused_by(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    return next((link for link in _chain(error) if isinstance(link, kind)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
