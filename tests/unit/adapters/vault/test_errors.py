"""Which error each response of Vault becomes, and its message."""

from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.adapters.http.response import LONGEST_QUOTE
from pipedrive_operator.adapters.vault.errors import READ, WRITE, Extent, failure, refused
from pipedrive_operator.adapters.vault.request_and_response import VaultResponse
from pipedrive_operator.core.grant.document import TenantIdentity, VaultLocation
from pipedrive_operator.core.values.errors import CheckAndSetConflict, SourceMissing, VaultDenied, VaultUnavailable

ACME = VaultLocation(connection="default", mount="secret", path="pipedrive/crm/acme")
TENANT = TenantIdentity(namespace="crm", service_account="web", role="crm")


def response(status: int, *errors: str, **changes: Any) -> VaultResponse:
    """Build a response with Vault's errors."""
    return VaultResponse(status=status, body={"errors": list(errors)}, **changes)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (response(503, "Vault is sealed"), "is sealed: unseal it with `vault operator unseal`"),
        (response(500, "internal error"), 'fails with status 500 ("internal error")'),
        (response(502), "fails with status 502"),
        (response(412), "fails with status 412"),
        (response(429, "rate limit quota exceeded"), '(429, "rate limit quota exceeded"): raise the quota'),
        (response(429, "lease count quota exceeded"), "has reached a lease count quota (429, "),
        (response(400, "Upgrading from non-versioned to versioned data."), "is preparing a secrets engine"),
        (VaultResponse(status=200), "responds with status 200 and without JSON"),
        (VaultResponse(status=403), "responds with status 403 and without JSON"),
        (
            VaultResponse(status=407),
            "responds with status 407 and without JSON: a proxy in between requires credentials",
        ),
        (VaultResponse(status=502), "responds with status 502 and without JSON: it looks like the page of a proxy"),
        (
            VaultResponse(status=301, redirect="http://b:8200"),
            "redirects to http://b:8200 (301): set vault.connections",
        ),
        (
            response(473),
            "that serves no requests (status 473): set vault.connections.default.address",
        ),
        (
            response(500, "local node not active but active cluster node not found"),
            "has no active server at the moment",
        ),
        (
            VaultResponse(status=307, redirect="http://b:8200"),
            "is a standby that could not forward the request to its active server, http://b:8200, and answered ",
        ),
    ],
)
def test_an_unusable_response_is_vaults_failure_and_says_what_to_do(given: VaultResponse, message: str) -> None:
    """The message is about Vault, not about the credential."""
    found = failure(given, "default")

    assert found is not None
    assert found.error.message.startswith('Vault connection "default" ')
    assert message in found.error.message


@pytest.mark.parametrize(
    ("given", "extent"),
    [
        (response(503, "Vault is sealed"), Extent.SERVER),
        (VaultResponse(status=307, redirect="http://b:8200"), Extent.SERVER),
        (response(473), Extent.SERVER),
        (response(500, "active cluster node not found"), Extent.SERVER),
        (response(429, "rate limit quota exceeded"), Extent.PATH),
        (response(429, "lease count quota exceeded"), Extent.PATH),
        (VaultResponse(status=429), Extent.PATH),
        (response(400, "Upgrading from non-versioned to versioned data."), Extent.PATH),
        (response(500, "put failed due to value being too large"), Extent.UNCLEAR),
        (response(412), Extent.UNCLEAR),
        (VaultResponse(status=403), Extent.UNCLEAR),
    ],
)
def test_a_failure_concerns_the_server_or_one_path(given: VaultResponse, extent: Extent) -> None:
    """Only a failure that concerns the server may stop requests to other paths."""
    found = failure(given, "default")

    assert found is not None
    assert found.extent is extent


@pytest.mark.parametrize("status", [200, 400, 403, 404, 405])
def test_a_response_of_a_working_vault_is_usable(status: int) -> None:
    """A refusal is one, too."""
    assert failure(response(status), "default") is None


def test_an_empty_success_is_usable() -> None:
    """Status 204 has no body."""
    assert failure(VaultResponse(status=204), "default") is None


def test_the_requested_pause_is_passed_on() -> None:
    """Vault sends Retry-After with a rate limit."""
    found = failure(response(429, retry_after=timedelta(seconds=3)), "default")

    assert found is not None
    assert found.error.retry_after == timedelta(seconds=3)


def test_a_denial_shows_the_policy_that_would_allow_the_request() -> None:
    """A read needs one capability, a write needs two."""
    denied = response(403, "1 error occurred:\n\t* permission denied\n\n")

    read, write = refused(denied, ACME, READ), refused(denied, ACME, WRITE)

    assert isinstance(read, VaultDenied)
    assert isinstance(write, VaultDenied)
    assert 'path "secret/data/pipedrive/crm/acme" { capabilities = ["read"] }' in read.message
    assert 'path "secret/data/pipedrive/crm/acme" { capabilities = ["create", "update"] }' in write.message
    assert 'access to secret/pipedrive/crm/acme ("1 error occurred: * permission denied"): allow it' in read.message


@pytest.mark.parametrize("capabilities", [READ, WRITE])
def test_a_token_that_one_server_does_not_know_is_no_lack_of_policy(capabilities: tuple[str, ...]) -> None:
    """The session has checked the token, so that a server lags; the request is tried again soon."""
    unknown = response(403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")

    error = refused(unknown, ACME, capabilities, TENANT)

    assert isinstance(error, VaultUnavailable)
    assert "does not know the token of ServiceAccount crm/web with role crm" in error.message
    assert '("2 errors occurred: * permission denied * invalid token")' in error.message
    assert "compare `vault status` on each server" in error.message
    assert "policy" not in error.message


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (response(400, "check-and-set parameter did not match the current version"), CheckAndSetConflict, "secret/"),
        (response(400, "something else"), VaultDenied, '400 "something else"'),
        (response(404, "no handler for route"), SourceMissing, "no KV version 2 secrets engine at secret/"),
        (response(405, "unsupported operation"), SourceMissing, "no KV version 2 secrets engine at secret/"),
        (
            VaultResponse(status=200, body={"data": None, "wrap_info": {"token": "s.abc"}}),
            VaultDenied,
            "returns a wrapping token in place of secret/pipedrive/crm/acme",
        ),
        (VaultResponse(status=204), SourceMissing, "no KV version 2 secrets engine at secret/"),
        (response(404, "namespace not found"), SourceMissing, "correct vault.connections.default.namespace"),
    ],
)
def test_every_other_refusal_becomes_an_error(given: VaultResponse, kind: type[Exception], message: str) -> None:
    """Its kind follows from the status and from Vault's words."""
    error = refused(given, ACME, WRITE)

    assert type(error) is kind
    assert message in str(error)


def test_vaults_errors_are_quoted_on_one_short_line() -> None:
    """They become part of a condition's message."""
    assert response(403, "1 error occurred:\n\t* permission denied\n\n", "b").errors == (
        "1 error occurred: * permission denied , b"
    )
    assert len(response(500, "x" * 10_000).errors) == LONGEST_QUOTE


def test_the_body_of_a_response_is_not_printed() -> None:
    """It contains secrets."""
    assert "hush" not in repr(VaultResponse(status=200, body={"data": {"data": {"access_token": "hush"}}}))
