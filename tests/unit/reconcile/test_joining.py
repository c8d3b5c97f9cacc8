"""A credential that joins the users of a grant publishes what Vault holds, whatever was refreshed before."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.times import format_time
from support.builders import ACCOUNT, GRANT_LOCATION, OAUTH2_SPEC, resource
from support.faked_operator import FakedOperator, published_world

UNGUARDED = {"oauth2": OAUTH2_SPEC["oauth2"]}
OTHER = Account(company_id=99, company_domain="other", user_id=7)
NEW = Key(namespace="crm", name="new")


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Return an operator that has refreshed and published a grant."""
    async for made in published_world(UNGUARDED):
        yield made


@pytest.mark.parametrize("account", [ACCOUNT, OTHER])
async def test_a_credential_that_joins_publishes_what_another_has_stored_since(
    world: FakedOperator, account: Account
) -> None:
    """Another cluster has refreshed the grant, or a person has written that of another company."""
    world.pipedrive.accounts["of-another"] = account
    expires_at = format_time(world.clock.now() + timedelta(hours=1))
    world.vault.put(GRANT_LOCATION, refresh_token="another", access_token="of-another", expires_at=expires_at)
    world.clock.turn(timedelta(minutes=6))
    await world.settle()

    world.cluster.apply(resource(UNGUARDED, name="new", creationTimestamp=format_time(world.clock.now())))
    await world.settle(NEW)

    assert "of-another" == world.value("access_token", "new")
