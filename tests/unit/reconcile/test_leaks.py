"""Statuses, Events and metrics show no value from Vault, no matter which key a credential names."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pipedrive_operator import metrics
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.values.conditions import ConditionType
from support.builders import API_TOKEN_SPEC, GRANT_LOCATION, KEY, OAUTH2_SPEC, TOKEN_LOCATION, resource
from support.faked_operator import FakedOperator, seeded_world

REFRESH_TOKEN = "12:34:" + "5f" * 20
SECRET_OF_NO_KNOWN_FORM = "Plain-Client-Secret"
ID_OF_NO_KNOWN_FORM = "Plain-Client-Id"
VALUES = {
    "refresh_token": REFRESH_TOKEN,
    "client_id": ID_OF_NO_KNOWN_FORM,
    "client_secret": SECRET_OF_NO_KNOWN_FORM,
    "api_token": "ab" * 20,
    "custom": "Plain-Other-Value",
}
CLIENT = "pipedrive/crm/client"
KEYS = [*VALUES, "absent", "refreshed_from"]


def client(**keys: str) -> dict[str, Any]:
    """Build a spec whose client is a document in Vault, with these keys."""
    return OAUTH2_SPEC | {"oauth2": OAUTH2_SPEC["oauth2"] | {"client": {"path": CLIENT, **keys}}}


WAYS = [
    *(pytest.param(client(idKey=key), id=f"idKey {key}") for key in KEYS),
    *(pytest.param(client(secretKey=key), id=f"secretKey {key}") for key in KEYS),
    *(pytest.param(client(idKey=one, secretKey=two), id=f"{one} and {two}") for one in KEYS for two in KEYS),
    *(
        pytest.param(API_TOKEN_SPEC | {"apiToken": {"path": path, "key": key}}, id=f"apiToken {key} of {path}")
        for key in KEYS
        for path in (TOKEN_LOCATION.path, GRANT_LOCATION.path, CLIENT)
    ),
    pytest.param(
        API_TOKEN_SPEC | {"target": {"data": dict.fromkeys(("client_secret", "refresh_token"), "$(api_token|json)")}},
        id="template keys",
    ),
]


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a world in which each document holds every value, and the grant was issued to another client."""
    async for made in seeded_world():
        for path in (TOKEN_LOCATION.path, GRANT_LOCATION.path, CLIENT):
            location = VaultLocation(connection="default", mount="secret", path=path)
            made.vault.put(location, **VALUES | {"client_id": f"{ID_OF_NO_KNOWN_FORM}-of-{path}"})
        yield made


@pytest.mark.parametrize("spec", WAYS)
async def test_no_status_event_or_metric_shows_a_value_from_vault(world: FakedOperator, spec: dict[str, Any]) -> None:
    """This holds for values that look like tokens and for values that do not."""
    world.cluster.apply(resource(spec))

    await world.settle()

    shown = json.dumps(world.cluster.credentials[KEY]["status"]) + "".join(
        event.message + event.reason for event in world.cluster.events
    )
    assert "Ready" in shown
    assert [] == [value for value in VALUES.values() if value in shown or value in metrics.exposition().decode()]


@pytest.mark.parametrize("key", ["refresh_token", "access_token", "client_id", "client_secret", "refreshed_from"])
async def test_a_key_of_a_grant_is_never_sent_as_an_api_token(world: FakedOperator, key: str) -> None:
    """The message names the field."""
    world.cluster.apply(resource(API_TOKEN_SPEC | {"apiToken": {"path": GRANT_LOCATION.path, "key": key}}))

    await world.settle()

    assert ("False", "InvalidSpec") == world.condition(ConditionType.READY)
    assert [] == world.pipedrive.identified


@pytest.mark.parametrize(
    "value",
    [REFRESH_TOKEN, "v1u:AQIBAHj+8/x==:AH4wfAYJKoZIhvcNAQ==", f"12.34.{'5f' * 21}", f" {REFRESH_TOKEN}\n"],
    ids=["refresh token", "access token", "code", "white space"],
)
async def test_a_value_that_looks_like_a_token_of_a_grant_is_not_sent(world: FakedOperator, value: str) -> None:
    """The name of its key does not matter."""
    world.vault.put(TOKEN_LOCATION, custom=value)
    world.cluster.apply(resource(API_TOKEN_SPEC | {"apiToken": {"path": TOKEN_LOCATION.path, "key": "custom"}}))

    await world.settle()

    condition = read_credential(world.cluster.credentials[KEY]).status.condition(ConditionType.READY)
    assert condition is not None
    assert "looks like an OAuth2 token" in condition.message
    assert [] == world.pipedrive.identified
