"""A grant that a person seeds with the raw response of Pipedrive, whose lifetime counts from when it was written."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import GRANT_LOCATION, GRANT_SOURCE, OAUTH2_SPEC, resource
from support.exchanges import OTHER_COMPANY, claimed, exchange_order
from support.faked_operator import FakedOperator, seeded_world

LIFETIME = timedelta(hours=1)
RAW: dict[str, Any] = {"access_token": "raw", "refresh_token": "seed", "expires_in": LIFETIME.total_seconds()}


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a world with such a grant, which is published."""
    async for made in seeded_world():
        made.pipedrive.accounts["raw"] = made.pipedrive.company
        made.pipedrive.consent_ends_others = False
        made.vault.put(GRANT_LOCATION, **RAW)
        made.cluster.apply(resource(OAUTH2_SPEC))
        await made.settle()
        yield made


async def test_it_is_the_same_document_for_a_credential_and_a_refresh(world: FakedOperator) -> None:
    """Otherwise a write would seem to be over another document than the credential has read meanwhile."""
    documents = world.keeper._protocol.parts.documents  # noqa: SLF001  a write between two reads
    read = await documents.read(GRANT_LOCATION, GRANT_SOURCE.identity)
    assert world.keeper.note_read(GRANT_SOURCE, world.vault.documents[GRANT_LOCATION])

    written = await documents.write(read.grant, read)

    assert world.vault.documents[GRANT_LOCATION].version == written.version


@pytest.mark.parametrize("is_refused", [True, False])
async def test_a_consent_that_connects_nothing_does_not_prolong_it(world: FakedOperator, *, is_refused: bool) -> None:
    """Each of its writes to Vault makes a new version. The code is refused, or the account is the wrong one."""
    ends = world.clock.now() + LIFETIME
    world.clock.turn(LIFETIME / 2)
    code = SecretValue("refused") if is_refused else world.pipedrive.accept(OTHER_COMPANY)
    order = exchange_order(GRANT_SOURCE, code, began=world.clock.monotonic())
    await world.keeper.exchange(replace(order, pinned=world.pipedrive.company), claimed)

    world.clock.turn(timedelta(minutes=6))
    await world.settle()
    assert "raw" == world.value("access_token")
    world.clock.turn(ends - world.clock.now())
    await world.settle()

    assert "raw" != world.value("access_token")
