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

from integration.operator.bad_input.conftest import Perform
from support.troubles import of_pipedrive, of_the_cluster, of_the_spec, of_vault
from support.troubles.play import Play
from support.troubles.real_parts import Stage
from support.troubles.trouble import Trouble

ALL = (*of_the_spec.TROUBLES, *of_vault.TROUBLES, *of_pipedrive.TROUBLES, *of_the_cluster.TROUBLES)
STRUCK = tuple(trouble for trouble in ALL if trouble.was_fine)
STALLING = tuple(trouble for trouble in ALL if trouble.stalled)
SECRET_KEYS = {"access_token", "refresh_token", "api_token", "client_secret"}
FORMATS = ["json", "console"]


def _named(trouble: Trouble) -> str:
    return trouble.name


@pytest.mark.parametrize("trouble", ALL, ids=_named)
def test_the_message_says_what_happened_and_what_to_do(troubles: Play, trouble: Trouble) -> None:
    """The reason is in a condition, and its message names the place and the next step."""
    scene = troubles.scenes[trouble.name]

    condition = scene.struck.condition_with(trouble.reason)

    assert condition is not None, scene.struck.conditions
    assert [part for part in _expected(troubles, trouble) if part not in condition["message"]] == [], condition[
        "message"
    ]


@pytest.mark.parametrize("trouble", ALL, ids=_named)
def test_stalled_means_that_a_person_must_act(troubles: Play, trouble: Trouble) -> None:
    """An outage or a rate limit ends without a person; a wrong field does not."""
    struck = troubles.scenes[trouble.name].struck

    assert struck.is_true("Stalled") == trouble.stalled, struck.conditions


@pytest.mark.parametrize("trouble", STRUCK, ids=_named)
def test_the_last_accepted_value_stays_published(troubles: Play, trouble: Trouble) -> None:
    """Whatever happened, the Secret holds the token that was published before."""
    scene = troubles.scenes[trouble.name]

    assert scene.before.token is not None
    assert scene.struck.token == scene.before.token
    assert scene.struck.is_true("Ready") == trouble.stays_ready, scene.struck.conditions


@pytest.mark.parametrize("trouble", ALL, ids=_named)
def test_a_credential_recovers_when_its_trouble_is_fixed(troubles: Play, trouble: Trouble) -> None:
    """Nobody restarts the operator or annotates the credential."""
    mended = troubles.scenes[trouble.name].mended

    assert mended.is_fine, mended.conditions
    assert mended.token is not None


@pytest.mark.parametrize("trouble", STALLING, ids=_named)
def test_a_trouble_that_needs_a_person_is_an_event_too(troubles: Play, trouble: Trouble) -> None:
    """A Warning about the credential, with the same reason."""
    actor = troubles.scenes[trouble.name].actor

    announced = {
        (event["type"], event["reason"])
        for event in troubles.stage.objects("events.v1.events.k8s.io")
        if event["regarding"]["name"] == actor.name and event["regarding"]["namespace"] == actor.namespace
    }

    assert ("Warning", trouble.reason) in announced


@pytest.mark.parametrize(
    "trouble", [trouble for trouble in ALL if trouble.reason in {"WrongAccount", "SecretConflict"}], ids=_named
)
def test_no_token_of_a_wrong_account_is_published_and_no_foreign_secret_overwritten(
    troubles: Play, trouble: Trouble
) -> None:
    """The Secret holds what it held before."""
    struck = troubles.scenes[trouble.name].struck

    was_there = troubles.scenes[trouble.name].before.data
    foreign = {"password": "not ours"} if trouble.reason == "SecretConflict" else None

    assert struck.data == (was_there if trouble.was_fine else foreign)


def test_a_foreign_secret_is_never_written(troubles: Play) -> None:
    """It has the resourceVersion of its creation, and no label or annotation of the operator."""
    taken = troubles.scenes["taken"]

    now = next(each for each in troubles.stage.objects("secrets") if each["metadata"]["name"] == "taken")

    assert taken.struck.secret is not None
    assert now["metadata"]["resourceVersion"] == taken.struck.secret["metadata"]["resourceVersion"]
    assert "labels" not in now["metadata"]
    assert "ownerReferences" not in now["metadata"]


def test_a_wrong_client_secret_leaves_the_grant_unchanged(troubles: Play) -> None:
    """The refresh token is that of the consent and still valid, and no intent is left behind."""
    scene = troubles.scenes["client-secret-wrong"]

    versions = [
        values
        for values in troubles.stage.secret_versions()
        if values.get("refresh_token", "").startswith(f"{scene.actor.person.company_id}:")
    ]

    assert len({values["refresh_token"] for values in versions}) == 1
    assert "refresh_id" not in scene.actor.read()
    assert "unanswered" not in " ".join(scene.actor.read())


@pytest.mark.parametrize(("name", "endpoint"), [("verify-limited", "users_me"), ("refresh-limited", "token")])
def test_the_pause_of_retry_after_is_kept(troubles: Play, name: str, endpoint: str) -> None:
    """Pipedrive receives no request about that company before the pause has passed."""
    company_id = troubles.scenes[name].actor.person.company_id
    calls = [
        call
        for call in troubles.stage.pipedrive.ledger().calls
        if call.subject.company_id == company_id and call.subject.endpoint == endpoint
    ]

    limited = next(index for index, call in enumerate(calls) if call.status == 429)

    assert calls[limited + 1].started_at - calls[limited].started_at >= of_pipedrive.RETRY_AFTER - 0.1


@pytest.mark.parametrize("log_format", FORMATS)
def test_the_log_contains_no_secret(perform: Perform, log_format: str) -> None:
    """At the level debug."""
    performance = perform(log_format)

    text = performance.operator.log.read_text()

    assert len(_known(performance.play.stage)) > 50
    assert len(text.splitlines()) > 100
    assert [] == _told(text, performance.play.stage)


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("kind", ["events.v1.events.k8s.io", "pipedrivecredentials"])
def test_no_event_and_no_credential_contains_a_secret(perform: Perform, log_format: str, kind: str) -> None:
    """Every user with view rights can read them."""
    stage = perform(log_format).play.stage

    objects = stage.objects(kind)

    assert len(objects) > 10
    assert [] == _told(json.dumps(objects), stage)


@pytest.mark.parametrize("log_format", FORMATS)
def test_no_status_contains_a_secret_during_a_trouble(perform: Perform, log_format: str) -> None:
    """Some messages quote what other services said."""
    played = perform(log_format).play

    statuses = [scene.struck.status for scene in played.scenes.values()]

    assert all(statuses)
    assert [] == _told(json.dumps(statuses), played.stage)


def _expected(troubles: Play, trouble: Trouble) -> list[str]:
    actor = troubles.scenes[trouble.name].actor
    return [part.format(actor=actor) for part in trouble.says]


def _known(stage: Stage) -> set[str]:
    """Return every secret value that the operator was configured with, read, received or wrote."""
    stored = {str(value) for version in stage.secret_versions() for key, value in version.items() if key in SECRET_KEYS}
    users = {str(user["api_token"]) for user in stage.pipedrive.view("state")["users"]}
    return {value for value in stored | users | stage.given if value}


def _written(value: str) -> Iterator[str]:
    """Yield the forms in which a value might be written."""
    yield value
    yield quote(value, safe="")
    yield b64encode(value.encode()).decode().rstrip("=")


def _told(text: str, stage: Stage) -> list[str]:
    return [value for value in _known(stage) if any(way in text for way in _written(value))]
