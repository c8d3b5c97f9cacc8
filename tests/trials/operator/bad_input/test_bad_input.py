"""Every bad input: the status says what to do, the last accepted value stays, a fix is enough, and no secret leaks.

The operator runs as its own process. All troubles are caused at the same time, each for a credential of its own, with
both formats of the log at its most verbose level. All these tests are in one file, because one process of the test
run takes a whole file.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from support.troubles import of_pipedrive, of_the_cluster, of_the_spec, of_vault
from support.troubles.real_parts import RealParts
from support.troubles.runner import Record
from support.troubles.trouble import Trouble
from trials.operator.bad_input.conftest import RunTroubles

ALL = (*of_the_spec.TROUBLES, *of_vault.TROUBLES, *of_pipedrive.TROUBLES, *of_the_cluster.TROUBLES)
STARTING_READY = tuple(trouble for trouble in ALL if trouble.starts_ready)
STALLING = tuple(trouble for trouble in ALL if trouble.stalled)
SECRET_KEYS = {"access_token", "refresh_token", "api_token", "client_secret"}
FORMATS = ["json", "console"]


def _named(trouble: Trouble) -> str:
    return trouble.name


@pytest.mark.parametrize("trouble", ALL, ids=_named)
def test_the_message_says_what_happened_and_what_to_do(troubles: Record, trouble: Trouble) -> None:
    """The reason is in a condition, and its message names the place and the next step."""
    outcome = troubles.outcomes[trouble.name]

    condition = outcome.affected.condition_with(trouble.reason)

    assert condition is not None, outcome.affected.conditions
    assert [part for part in _expected(troubles, trouble) if part not in condition["message"]] == [], condition[
        "message"
    ]


@pytest.mark.parametrize("trouble", ALL, ids=_named)
def test_stalled_means_that_a_person_must_act(troubles: Record, trouble: Trouble) -> None:
    """An outage or a rate limit ends without a person; a wrong field does not."""
    affected = troubles.outcomes[trouble.name].affected

    assert affected.is_true("Stalled") == trouble.stalled, affected.conditions


@pytest.mark.parametrize("trouble", STARTING_READY, ids=_named)
def test_the_last_accepted_value_stays_published(troubles: Record, trouble: Trouble) -> None:
    """Whatever happened, the Secret holds the token that was published before."""
    outcome = troubles.outcomes[trouble.name]

    assert outcome.before.token is not None
    assert outcome.affected.token == outcome.before.token
    assert outcome.affected.is_true("Ready") == trouble.stays_ready, outcome.affected.conditions


@pytest.mark.parametrize("trouble", ALL, ids=_named)
def test_a_credential_recovers_when_its_trouble_is_fixed(troubles: Record, trouble: Trouble) -> None:
    """Nobody restarts the operator or annotates the credential."""
    fixed = troubles.outcomes[trouble.name].fixed

    assert fixed.is_healthy, fixed.conditions
    assert fixed.token is not None


@pytest.mark.parametrize("trouble", STALLING, ids=_named)
def test_a_trouble_that_needs_a_person_is_an_event_too(troubles: Record, trouble: Trouble) -> None:
    """It is a Warning about the credential, with the same reason."""
    subject = troubles.outcomes[trouble.name].subject

    announced = {
        (event["type"], event["reason"])
        for event in troubles.parts.objects("events.v1.events.k8s.io")
        if event["regarding"]["name"] == subject.name and event["regarding"]["namespace"] == subject.namespace
    }

    assert ("Warning", trouble.reason) in announced


@pytest.mark.parametrize(
    "trouble", [trouble for trouble in ALL if trouble.reason in {"WrongAccount", "SecretConflict"}], ids=_named
)
def test_no_token_of_a_wrong_account_is_published_and_no_foreign_secret_overwritten(
    troubles: Record, trouble: Trouble
) -> None:
    """The Secret holds what it held before."""
    affected = troubles.outcomes[trouble.name].affected

    was_there = troubles.outcomes[trouble.name].before.data
    foreign = {"password": "not ours"} if trouble.reason == "SecretConflict" else None

    assert affected.data == (was_there if trouble.starts_ready else foreign)


def test_a_foreign_secret_is_never_written(troubles: Record) -> None:
    """It has the resourceVersion of its creation, and no label or annotation of the operator."""
    taken = troubles.outcomes["taken"]

    now = next(each for each in troubles.parts.objects("secrets") if each["metadata"]["name"] == "taken")

    assert taken.affected.secret is not None
    assert now["metadata"]["resourceVersion"] == taken.affected.secret["metadata"]["resourceVersion"]
    assert "labels" not in now["metadata"]
    assert "ownerReferences" not in now["metadata"]


def test_a_wrong_client_secret_leaves_the_grant_unchanged(troubles: Record) -> None:
    """The refresh token is that of the consent and still valid, and no intent is left behind."""
    outcome = troubles.outcomes["client-secret-wrong"]

    versions = [
        values
        for values in troubles.parts.secret_versions()
        if values.get("refresh_token", "").startswith(f"{outcome.subject.person.company_id}:")
    ]

    assert len({values["refresh_token"] for values in versions}) == 1
    assert "refresh_id" not in outcome.subject.read()
    assert "unanswered" not in " ".join(outcome.subject.read())


@pytest.mark.parametrize(("name", "endpoint"), [("verify-limited", "users_me"), ("refresh-limited", "token")])
def test_the_pause_of_retry_after_is_kept(troubles: Record, name: str, endpoint: str) -> None:
    """Pipedrive receives no request about that company before the pause has passed."""
    company_id = troubles.outcomes[name].subject.person.company_id
    calls = [
        call
        for call in troubles.parts.pipedrive.ledger().calls
        if call.subject.company_id == company_id and call.subject.endpoint == endpoint
    ]

    limited = next(index for index, call in enumerate(calls) if call.status == 429)

    assert calls[limited + 1].started_at - calls[limited].started_at >= of_pipedrive.RETRY_AFTER - 0.1


@pytest.mark.parametrize("log_format", FORMATS)
def test_the_log_contains_no_secret(run_troubles: RunTroubles, log_format: str) -> None:
    """Its level is debug, the most verbose one."""
    run = run_troubles(log_format)

    text = run.operator.log.read_text()

    assert len(_secret_values(run.record.parts)) > 50
    assert len(text.splitlines()) > 100
    assert [] == _leaked(text, run.record.parts)


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("kind", ["events.v1.events.k8s.io", "pipedrivecredentials"])
def test_no_event_and_no_credential_contains_a_secret(run_troubles: RunTroubles, log_format: str, kind: str) -> None:
    """Every user with view rights can read them."""
    parts = run_troubles(log_format).record.parts

    objects = parts.objects(kind)

    assert len(objects) > 10
    assert [] == _leaked(json.dumps(objects), parts)


@pytest.mark.parametrize("log_format", FORMATS)
def test_no_status_contains_a_secret_during_a_trouble(run_troubles: RunTroubles, log_format: str) -> None:
    """Some messages quote what other services said."""
    record = run_troubles(log_format).record

    statuses = [outcome.affected.status for outcome in record.outcomes.values()]

    assert all(statuses)
    assert [] == _leaked(json.dumps(statuses), record.parts)


def _expected(troubles: Record, trouble: Trouble) -> list[str]:
    subject = troubles.outcomes[trouble.name].subject
    return [part.format(subject=subject) for part in trouble.says]


def _secret_values(parts: RealParts) -> set[str]:
    """Return every secret value that the operator was configured with, read, received or wrote."""
    stored = {str(value) for version in parts.secret_versions() for key, value in version.items() if key in SECRET_KEYS}
    users = {str(user["api_token"]) for user in parts.pipedrive.view("state")["users"]}
    return {value for value in stored | users | parts.provided_secrets if value}


def _encodings(value: str) -> Iterator[str]:
    """Yield the forms in which a value might be written."""
    yield value
    yield quote(value, safe="")
    yield b64encode(value.encode()).decode().rstrip("=")


def _leaked(text: str, parts: RealParts) -> list[str]:
    return [value for value in _secret_values(parts) if any(way in text for way in _encodings(value))]
