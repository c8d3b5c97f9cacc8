"""Maps Vault's responses to the operator's errors, as tables in which the first matching row decides. Pure.

Failures without a response are mapped in http/failures.py. A message says what happened and why, then a colon and what
to do next. It may quote Vault's explanation, and never a request.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Final

from pipedrive_operator.adapters.http.proxies import describe_page
from pipedrive_operator.adapters.vault.request_and_response import VaultResponse
from pipedrive_operator.core.grant.document import OPERATOR, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.storable import DEEPEST_NESTING
from pipedrive_operator.core.values.errors import (
    CheckAndSetConflict,
    OperatorError,
    SourceMissing,
    Trouble,
    VaultDenied,
    VaultUnavailable,
)

LARGEST_RESPONSE: Final = 128 * 1024
"""In bytes, without compression. A grant has 3 KiB; a document near Vault's own limit would cost a hundred times as
much memory, for each credential that names it."""
READ: Final = ("read",)
WRITE: Final = ("create", "update")
"""The capabilities that a request needs."""

_SEALED: Final = 'Vault connection "{name}" is sealed: unseal it with `vault operator unseal`'
_NO_NAMESPACE: Final = (
    'Vault connection "{name}" does not have the configured namespace: correct vault.connections.{name}.namespace, and '
    "compare it with `vault namespace list`"
)
_NOT_VERSION_TWO: Final = (
    'Vault connection "{name}" has no KV version 2 secrets engine at {mount}/: name another mount, or create the '
    "engine with `vault secrets enable -path={mount} kv-v2`, or convert it with `vault kv enable-versioning {mount}/`"
)


class Extent(Enum):
    """What a failure concerns, and so what has to wait."""

    SERVER = "server"
    PATH = "path"
    UNCLEAR = "unclear"
    """Perhaps this path alone: Vault fails on a document that is too large with the status of a general failure."""


@dataclass(frozen=True, slots=True)
class FailedRequest:
    """A request without a usable response."""

    extent: Extent
    error: VaultUnavailable


@dataclass(frozen=True, slots=True)
class _Row:
    """A kind of response, and the message for it."""

    matches: Callable[[VaultResponse], bool]
    message: str
    error: type[Trouble] = VaultUnavailable
    extent: Extent = Extent.SERVER


def _status(*statuses: int, quoting: str = "") -> Callable[[VaultResponse], bool]:
    """Match one of these statuses with these words among Vault's errors."""
    return lambda response: response.status in statuses and quoting in response.errors


def _is_redirect(response: VaultResponse) -> bool:
    return HTTPStatus.MULTIPLE_CHOICES <= response.status < HTTPStatus.BAD_REQUEST


def _is_failure(response: VaultResponse) -> bool:
    status = response.status
    return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.PRECONDITION_FAILED


def _is_page_of_proxy(response: VaultResponse) -> bool:
    return response.body is None and describe_page(response.status) is not None


def _is_not_json(response: VaultResponse) -> bool:
    is_left_out = response.is_too_large or response.is_undecodable
    return response.body is None and response.status != HTTPStatus.NO_CONTENT and not is_left_out


def _is_without_namespace(response: VaultResponse) -> bool:
    return "namespace not found" in response.errors


_UNUSABLE: Final = (
    _Row(_status(503, quoting="sealed"), _SEALED),
    _Row(
        _status(307),
        'Vault connection "{name}" is a standby that could not forward the request to its active server, {redirect}, '
        "and answered with a redirect (307). The operator does not follow redirects, so that its token goes to no "
        "other address. Check that the active server is running and that the standby reaches its cluster port, or set "
        "{setting}.address to the active server",
    ),
    _Row(
        _status(500, quoting="active cluster node not found"),
        'Vault connection "{name}" has no active server at the moment: the server that responded is a standby and '
        "knows of none. The servers elect one within seconds, if most of them are running and unsealed. If this "
        "persists, run `vault status` on each server, and start or unseal those that are down",
    ),
    _Row(
        _status(472, 473),
        'Vault connection "{name}" is a standby of Vault Enterprise that serves no requests (status {status}): set '
        "{setting}.address to the active server, or to a load balancer that selects it",
    ),
    _Row(
        _is_redirect,
        'Vault connection "{name}" redirects to {redirect} ({status}): set {setting}.address to a server that does '
        "not redirect",
    ),
    _Row(
        _status(429, quoting="lease count quota"),
        'Vault connection "{name}" has reached a lease count quota (429, "{errors}"): raise it, see '
        "`vault list sys/quotas/lease-count`, or revoke leases that are not needed",
        extent=Extent.PATH,
    ),
    _Row(
        _status(429),
        'Vault connection "{name}" limits the rate of these requests (429, "{errors}"): raise the quota, see '
        "`vault list sys/quotas/rate-limit`",
        extent=Extent.PATH,
    ),
    _Row(
        _is_page_of_proxy,
        'Vault connection "{name}" responds with status {status} and without JSON: {page}',
        extent=Extent.UNCLEAR,
    ),
    _Row(
        _is_failure,
        'Vault connection "{name}" fails with status {status} ("{errors}"): check its log',
        extent=Extent.UNCLEAR,
    ),
    # For a moment after an engine was enabled or was converted to version 2.
    _Row(
        _status(400, quoting="Upgrading from non-versioned to versioned"),
        'Vault connection "{name}" is preparing a secrets engine: wait a moment',
        extent=Extent.PATH,
    ),
    _Row(
        _is_not_json,
        'Vault connection "{name}" responds with status {status} and without JSON: check whether its address starts '
        "with https://, and whether a proxy responds in its place",
        extent=Extent.UNCLEAR,
    ),
)

_LOGIN_REFUSALS: Final = (
    _Row(_is_without_namespace, _NO_NAMESPACE, SourceMissing),
    _Row(
        lambda response: bool(response.auth.get("mfa_requirement")),
        'Vault connection "{name}" requires multi-factor authentication for the login {login}: exempt the role from it',
        VaultDenied,
    ),
    _Row(
        lambda response: response.is_wrapped,
        'Vault connection "{name}" returns a wrapping token in place of a token for the login {login}, as it does for '
        "a control group that requires an approval: exempt the role from the control group",
        VaultDenied,
    ),
    _Row(lambda _: True, 'Vault connection "{name}" refuses the login {login} ("{errors}"): {advice}', VaultDenied),
)
_TOKEN_REFUSALS: Final = (
    _Row(_is_without_namespace, _NO_NAMESPACE, SourceMissing),
    _Row(
        lambda _: True,
        'Vault connection "{name}" refuses the token of {where} ("{errors}"): replace it by a token that has not '
        "expired and has the policy `default`",
        VaultDenied,
    ),
)
_REFUSALS: Final = (
    _Row(
        _status(403),
        'Vault connection "{name}" denies {identity} access to {location} ("{errors}"): allow it by policy with '
        "{stanza}",
        VaultDenied,
    ),
    _Row(_is_without_namespace, _NO_NAMESPACE, SourceMissing),
    _Row(
        lambda response: response.is_wrapped,
        'Vault connection "{name}" returns a wrapping token in place of {location}, as it does for a control group '
        "that requires an approval: exempt {identity} from the control group on this path",
        VaultDenied,
    ),
    _Row(
        lambda response: response.status in {404, 405} or response.status < HTTPStatus.BAD_REQUEST,
        _NOT_VERSION_TWO,
        SourceMissing,
    ),
    _Row(
        lambda _: True,
        'Vault connection "{name}" refuses the request for {location} ({status} "{errors}"): check its log for the '
        "cause",
        VaultDenied,
    ),
)


def failure(response: VaultResponse, name: str) -> FailedRequest | None:
    """Explain a response that a working Vault does not give; None if it is one that a working Vault gives."""
    row = next((row for row in _UNUSABLE if row.matches(response)), None)
    if row is None:
        return None
    message = row.message.format(
        name=name,
        setting=f"vault.connections.{name}",
        status=response.status,
        errors=response.errors,
        redirect=response.redirect or "nowhere",
        page=describe_page(response.status),
    )
    return FailedRequest(row.extent, VaultUnavailable(message, retry_after=response.retry_after))


def is_conflict(response: VaultResponse) -> bool:
    """Return whether a write named another version than the newest."""
    return response.status == HTTPStatus.BAD_REQUEST and "check-and-set parameter did not match" in response.errors


def refused(
    response: VaultResponse, location: VaultLocation, capabilities: tuple[str, ...], identity: VaultIdentity = OPERATOR
) -> OperatorError:
    """Explain why Vault refused a request for a document, which needs these capabilities."""
    if is_conflict(response):
        return CheckAndSetConflict(str(location))
    other = body_left_out(response, location) or token_unknown(response, location.connection, identity)
    if other is not None:
        return other
    row = next(row for row in _REFUSALS if row.matches(response))
    message = row.message.format(
        name=location.connection,
        setting=f"vault.connections.{location.connection}",
        mount=location.mount,
        location=location,
        identity=identity,
        stanza=policy_stanza(location, capabilities),
        status=response.status,
        errors=response.errors,
    )
    return row.error(message)


def login_refused(response: VaultResponse, name: str, login: str, advice: str) -> Trouble:
    """Explain why Vault refused a login; `login` describes it, and `advice` fits the auth method."""
    row = next(row for row in _LOGIN_REFUSALS if row.matches(response))
    return row.error(row.message.format(name=name, login=login, errors=response.errors, advice=advice))


def token_refused(response: VaultResponse, name: str, where: str) -> Trouble:
    """Explain why Vault refused a token that a person or an agent wrote to a file or a Secret."""
    row = next(row for row in _TOKEN_REFUSALS if row.matches(response))
    return row.error(row.message.format(name=name, where=where, errors=response.errors))


def sealed(name: str) -> VaultUnavailable:
    """Explain a sealed server."""
    return VaultUnavailable(_SEALED.format(name=name))


def uninitialised(name: str) -> VaultUnavailable:
    """Explain a server that was never initialised."""
    return VaultUnavailable(f'Vault connection "{name}" is not initialised: initialise it with `vault operator init`')


def not_version_two(location: VaultLocation) -> SourceMissing:
    """Explain a mount that is missing, or holds another secrets engine, or one without versions."""
    return SourceMissing(_NOT_VERSION_TWO.format(name=location.connection, mount=location.mount))


def token_unknown(response: VaultResponse, name: str, identity: VaultIdentity = OPERATOR) -> VaultUnavailable | None:
    """Explain a server that does not know a token; None for any other response.

    The session has looked the token up or logged in again before that, so that a server knew it a moment ago.
    """
    if response.status != HTTPStatus.FORBIDDEN or "invalid token" not in response.errors:
        return None
    return VaultUnavailable(
        f'Vault connection "{name}" does not know the token of {identity} ("{response.errors}"), which it issued or '
        "confirmed a moment ago: a server behind its address lags or belongs to another cluster, or the token was "
        "revoked since. The operator tries again; if this persists, compare `vault status` on each server"
    )


def mount_hidden(location: VaultLocation) -> SourceMissing:
    """Explain a mount that is missing, or below which the policy allows nothing: Vault responds to both alike."""
    return SourceMissing(
        f'Vault connection "{location.connection}" shows the operator no secrets engine at {location.mount}/: enable '
        f"it with `vault secrets enable -path={location.mount} kv-v2`, or allow paths below it by policy"
    )


def capabilities_missing(location: VaultLocation, missing: tuple[str, ...]) -> VaultDenied:
    """Explain a policy that lacks capabilities."""
    return VaultDenied(
        f'Vault connection "{location.connection}" does not let the operator {", ".join(missing)} at {location}: allow '
        f"it by policy with {policy_stanza(location, (*READ, *WRITE))}"
    )


def body_left_out(response: VaultResponse, location: VaultLocation) -> SourceMissing | None:
    """Explain a document that is larger than the operator reads, or that Python does not decode; None for others."""
    if response.is_too_large:
        problem = f"returns more than {LARGEST_RESPONSE:,} bytes for {location}, and the operator reads no more"
    elif response.is_undecodable:
        problem = (
            f"returns a value for {location} that is nested in more than {DEEPEST_NESTING} levels, or a number of "
            "thousands of digits, which the operator does not read"
        )
    else:
        return None
    return SourceMissing(
        f'Vault connection "{location.connection}" {problem}: keep only the credential in this document, and move '
        "everything else to another path"
    )


def unsendable(name: str, path: str) -> SourceMissing:
    """Explain a request that cannot be written as JSON; the path is that of Vault's API, with the document's name."""
    return SourceMissing(
        f'A request to Vault connection "{name}" for {path} was not sent, because it holds a number or a character '
        "that JSON cannot express, or is nested too deeply: correct what the document or the login contains"
    )


def unreadable(location: VaultLocation) -> VaultUnavailable:
    """Explain a document without the metadata that KV version 2 adds."""
    return VaultUnavailable(
        f'Vault connection "{location.connection}" returns {location} without the metadata of KV version 2: check its '
        "log, and whether a proxy changes its responses"
    )


def policy_stanza(location: VaultLocation, capabilities: tuple[str, ...]) -> str:
    """Return the policy that allows a request, in Vault's syntax."""
    quoted = ", ".join(f'"{capability}"' for capability in capabilities)
    return f'path "{location.mount}/data/{location.path}" {{ capabilities = [{quoted}] }}'
