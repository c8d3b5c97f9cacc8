"""A consent for a credential that shares a grant with an older one leaves the older one alone."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from support.builders import CLIENT_SOURCE, GRANT_LOCATION, OAUTH2_SPEC, resource
from support.consenting import ConsentingPerson
from support.faked_operator import FakedOperator, published_world

MINE = replace(CLIENT_SOURCE.location, path="pipedrive/crm/my-app")
YOUNGER, CONSENT = Key(namespace="crm", name="younger"), Key(namespace="crm", name="younger-x1")


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a world with a published credential."""
    async for made in published_world(OAUTH2_SPEC):
        yield made


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        pytest.param({"path": MINE.path}, ConsentReason.INVALID, id="another client, for which it is refused"),
        pytest.param(OAUTH2_SPEC["oauth2"]["client"], ConsentReason.WAITING, id="the same client"),
    ],
)
async def test_no_link_is_made_for_a_credential_that_may_not_use_its_grant(
    world: FakedOperator, client: dict[str, str], reason: ConsentReason
) -> None:
    """The new grant would belong to a client that the older credential cannot use."""
    world.vault.put(MINE, client_id="mine", client_secret="mine")
    younger = {"creationTimestamp": "2026-03-02T00:00:00Z", "resourceVersion": "101"}
    spec = {"oauth2": {"client": client, "grant": {"path": GRANT_LOCATION.path}}}
    world.cluster.apply(resource(spec, name=YOUNGER.name, **younger))
    await world.settle(YOUNGER)
    person = ConsentingPerson(world, CONSENT, credential=YOUNGER.name)

    await person.sees_link()

    assert reason is person.reason
    assert ("the same grant" in person.message) == (reason is ConsentReason.INVALID)
    assert ("True", "Published") == world.condition(ConditionType.READY)
