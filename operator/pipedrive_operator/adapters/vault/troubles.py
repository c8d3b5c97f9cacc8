"""From answers and failures of the network to our errors: the one place where that is decided. Pure.

A message says what happened, a colon, and what to do. It may quote Vault's reason, and never a request.
"""

import ssl
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final

import aiohttp

from pipedrive_operator.adapters.vault.exchange import Answer
from pipedrive_operator.core.errors import (
    CheckAndSetConflict,
    OperatorError,
    SourceMissing,
    VaultDenied,
    VaultUnavailable,
)
from pipedrive_operator.core.vault import VaultLocation

_CONFLICT: Final = "check-and-set parameter did not match"
_UPGRADING: Final = "Upgrading from non-versioned to versioned"
"""A KV engine says so, with status 400, for a moment after it was mounted or enabled to keep versions."""
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
    if is_untrusted(error):
        return VaultUnavailable(
            f"{where} has a certificate that is not trusted: set vault.connections.{name}.caFile to the authority's "
            "certificate, and see that the certificate is valid for this address"
        )
    if _caused_by(error, ssl.SSLError):
        return VaultUnavailable(f"{where} speaks no TLS that we understand: see whether its address is an http:// one")
    if _caused_by(error, aiohttp.ClientConnectorDNSError):
        return VaultUnavailable(f"{where} has a name that is not known: correct vault.connections.{name}.address")
    return VaultUnavailable(
        f"{where} cannot be reached: see whether it runs, and check vault.connections.{name}.address"
    )


def is_untrusted(error: BaseException) -> bool:
    """Tell whether a connection failed because the server's certificate is not trusted."""
    return _caused_by(error, ssl.SSLCertVerificationError)


def authority_unreadable(name: str, ca_file: Path) -> VaultUnavailable:
    """Explain a file of certificates that holds none."""
    return VaultUnavailable(
        f"The certificates for Vault ({name}) cannot be read from {ca_file}: correct vault.connections.{name}.caFile"
    )


def unusable(answer: Answer, name: str) -> VaultUnavailable | None:
    """Explain an answer that a serving Vault does not give; None where it is one that it gives."""
    if answer.status == HTTPStatus.SERVICE_UNAVAILABLE and "sealed" in answer.errors:
        return sealed(name)
    fault = _fault(answer, name)
    return None if fault is None else VaultUnavailable(f"Vault ({name}) {fault}", retry_after=answer.retry_after)


def sealed(name: str) -> VaultUnavailable:
    """Explain a sealed server."""
    return VaultUnavailable(f"Vault ({name}) is sealed: unseal it with `vault operator unseal`")


def uninitialised(name: str) -> VaultUnavailable:
    """Explain a server that was never set up."""
    return VaultUnavailable(f"Vault ({name}) is not initialised: set it up with `vault operator init`")


def refused(answer: Answer, location: VaultLocation, capabilities: tuple[str, ...]) -> OperatorError:
    """Explain a refusal of a request for a document, which needs these capabilities."""
    if answer.status == HTTPStatus.FORBIDDEN:
        stanza = policy_stanza(location, capabilities)
        return VaultDenied(
            f"Vault ({location.connection}) denies access to {location}: allow it by policy with {stanza}"
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


def unreadable(location: VaultLocation) -> VaultUnavailable:
    """Explain a document without the metadata that KV version 2 gives it."""
    return VaultUnavailable(
        f"Vault ({location.connection}) answers for {location} in a way that we cannot read: see its log"
    )


def policy_stanza(location: VaultLocation, capabilities: tuple[str, ...]) -> str:
    """Write the policy that allows it, as Vault reads it."""
    quoted = ", ".join(f'"{capability}"' for capability in capabilities)
    return f'path "{location.mount}/data/{location.path}" {{ capabilities = [{quoted}] }}'


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


def _caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    return any(isinstance(link, kind) for link in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
