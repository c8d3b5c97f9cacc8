"""Whatever goes wrong, no secret value is in what the process writes, in an Event or in a status.

All troubles were played, in either format of the log and at its most talkative, with values that are known.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from integration.operator.bad_input.conftest import Performance
from support.troubles.stage import Stage

SECRET_KEYS = {"access_token", "refresh_token", "api_token", "client_secret"}
FORMATS = ["json", "console"]
Perform = Callable[[str], Performance]


def _known(stage: Stage) -> set[str]:
    """Return every secret value that the operator was given, read, won or wrote."""
    stored = {str(value) for version in stage.secret_versions() for key, value in version.items() if key in SECRET_KEYS}
    users = {str(user["api_token"]) for user in stage.pipedrive.view("state")["users"]}
    return {value for value in stored | users | stage.given if value}


def _written(value: str) -> Iterator[str]:
    """Yield the ways in which a value might be written."""
    yield value
    yield quote(value, safe="")
    yield b64encode(value.encode()).decode().rstrip("=")


def _told(text: str, stage: Stage) -> list[str]:
    return [value for value in _known(stage) if any(way in text for way in _written(value))]


@pytest.mark.parametrize("log_format", FORMATS)
def test_the_log_holds_no_secret(perform: Perform, log_format: str) -> None:
    """At the level debug."""
    performance = perform(log_format)

    text = performance.operator.log.read_text()

    assert len(_known(performance.play.stage)) > 50
    assert len(text.splitlines()) > 100
    assert [] == _told(text, performance.play.stage)


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("kind", ["events.v1.events.k8s.io", "pipedrivecredentials"])
def test_no_event_and_no_credential_holds_a_secret(perform: Perform, log_format: str, kind: str) -> None:
    """They are read by whoever may look."""
    stage = perform(log_format).play.stage

    objects = stage.objects(kind)

    assert len(objects) > 10
    assert [] == _told(json.dumps(objects), stage)


@pytest.mark.parametrize("log_format", FORMATS)
def test_no_status_holds_a_secret_while_something_is_wrong(perform: Perform, log_format: str) -> None:
    """When it was struck, and a message quotes what others said."""
    played = perform(log_format).play

    statuses = [scene.struck.status for scene in played.scenes.values()]

    assert all(statuses)
    assert [] == _told(json.dumps(statuses), played.stage)
