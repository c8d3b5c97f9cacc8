"""What Vault's answers mean, and what people are told."""

from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.adapters.vault.errors import READ, WRITE, refused, unusable
from pipedrive_operator.adapters.vault.exchange import LONGEST_QUOTE, Answer
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.values.errors import CheckAndSetConflict, SourceMissing, VaultDenied

ACME = VaultLocation(connection="default", mount="secret", path="pipedrive/crm/acme")


def answer(status: int, *errors: str, **changes: Any) -> Answer:
    """Build an answer with Vault's reasons."""
    return Answer(status=status, body={"errors": list(errors)}, **changes)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (answer(503, "Vault is sealed"), "is sealed: unseal it with `vault operator unseal`"),
        (answer(500, "internal error"), 'fails with status 500 ("internal error")'),
        (answer(502), "fails with status 502"),
        (answer(412), "fails with status 412"),
        (answer(429), "raise its rate limit quota"),
        (answer(400, "Upgrading from non-versioned to versioned data."), "is preparing a secrets engine"),
        (Answer(status=200), "answers 200 without JSON"),
        (Answer(status=403), "answers 403 without JSON"),
        (Answer(status=301, redirect="http://b:8200"), "redirects to http://b:8200 (301): set vault.connections"),
        (answer(473), "is a standby that does not serve (473): set vault.connections.default.address"),
        (answer(500, "local node not active but active cluster node not found"), "knows no active server"),
        (
            Answer(status=307, redirect="http://b:8200"),
            "is a standby that cannot hand requests on, and redirects to http://b:8200 (307), where no token is sent",
        ),
    ],
)
def test_an_answer_that_serves_nobody_says_what_to_do(given: Answer, told: str) -> None:
    """It is about Vault, and not about the credential."""
    trouble = unusable(given, "default")

    assert trouble is not None
    assert trouble.message.startswith("Vault (default) ")
    assert told in trouble.message


@pytest.mark.parametrize("status", [200, 400, 403, 404, 405])
def test_an_answer_of_a_serving_vault_is_usable(status: int) -> None:
    """Be it a refusal."""
    assert unusable(answer(status), "default") is None


def test_an_empty_success_is_usable() -> None:
    """204 has no body."""
    assert unusable(Answer(status=204), "default") is None


def test_the_pause_that_vault_asks_for_is_passed_on() -> None:
    """Retry-After of a rate limit."""
    trouble = unusable(answer(429, retry_after=timedelta(seconds=3)), "default")

    assert trouble is not None
    assert trouble.retry_after == timedelta(seconds=3)


def test_a_denial_shows_the_stanza_that_allows_it() -> None:
    """For a read, and for a write, which creates or updates."""
    denied = answer(403, "1 error occurred:\n\t* permission denied\n\n")

    read, write = refused(denied, ACME, READ), refused(denied, ACME, WRITE)

    assert isinstance(read, VaultDenied)
    assert isinstance(write, VaultDenied)
    assert 'path "secret/data/pipedrive/crm/acme" { capabilities = ["read"] }' in read.message
    assert 'path "secret/data/pipedrive/crm/acme" { capabilities = ["create", "update"] }' in write.message


@pytest.mark.parametrize(
    ("given", "kind", "told"),
    [
        (answer(400, "check-and-set parameter did not match the current version"), CheckAndSetConflict, "secret/"),
        (answer(400, "something else"), VaultDenied, '400 "something else"'),
        (answer(404, "no handler for route"), SourceMissing, "no KV version 2 secrets engine at secret/"),
        (answer(405, "unsupported operation"), SourceMissing, "no KV version 2 secrets engine at secret/"),
        (Answer(status=204), SourceMissing, "no KV version 2 secrets engine at secret/"),
        (answer(404, "namespace not found"), SourceMissing, "correct vault.connections.default.namespace"),
    ],
)
def test_every_other_refusal_has_a_meaning(given: Answer, kind: type[Exception], told: str) -> None:
    """By its status and Vault's reason."""
    error = refused(given, ACME, WRITE)

    assert type(error) is kind
    assert told in str(error)


def test_reasons_are_quoted_on_one_short_line() -> None:
    """A condition's message is no log."""
    assert answer(403, "1 error occurred:\n\t* permission denied\n\n", "b").errors == (
        "1 error occurred: * permission denied , b"
    )
    assert len(answer(500, "x" * 10_000).errors) == LONGEST_QUOTE


def test_what_an_answer_holds_is_not_printed() -> None:
    """Its body is made of secrets."""
    assert "hush" not in repr(Answer(status=200, body={"data": {"data": {"access_token": "hush"}}}))
