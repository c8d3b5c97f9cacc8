"""A Secret that would be too large, or whose quotes a value would end, is not rendered. All else continues."""

import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.times import format_time
from support.builders import ACCOUNT, API_TOKEN_SPEC, GRANT_LOCATION, KEY, NOW, OAUTH2_SPEC, TOKEN_LOCATION, resource
from support.faked_operator import FakedOperator, seeded_world

LARGE = {"data": {f"key{number}": "$(scope)" * 256 for number in range(32)}}
"""The largest templates that the CRD accepts."""


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a seeded world."""
    async for made in seeded_world():
        yield made


def message(world: FakedOperator) -> str:
    """Return the message of Ready."""
    condition = read_credential(world.cluster.credentials[KEY]).status.condition(ConditionType.READY)
    assert condition is not None
    return condition.message


def large_scope(world: FakedOperator) -> None:
    """Let Vault hold a fresh access token with a scope of 4 kB."""
    scope = ",".join(f"{'s' * 32}-{number:02}:read" for number in range(99))
    values = {"refresh_token": "seed", "access_token": "fresh", "expires_in": 3600, "scope": scope}
    world.vault.put(GRANT_LOCATION, **values, api_domain="https://acme.pipedrive.com", obtained_at=format_time(NOW))
    world.pipedrive.accounts["fresh"] = ACCOUNT
    world.pipedrive.expiries["fresh"] = NOW + timedelta(hours=1)


async def test_a_secret_that_would_be_too_large_costs_no_memory(world: FakedOperator) -> None:
    """Its size follows from the lengths of its parts."""
    large_scope(world)
    world.cluster.apply(resource(OAUTH2_SPEC | {"target": LARGE}))

    tracemalloc.start()
    await world.settle()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert ("False", "SecretWriteDenied") == world.condition(ConditionType.READY)
    assert "Kubernetes stores 1,048,576 at most" in message(world)
    assert peak < 20_000_000


async def test_renewals_go_on_while_the_secret_is_too_large(world: FakedOperator) -> None:
    """A template must not keep the grant from being refreshed in time."""
    large_scope(world)
    world.cluster.apply(resource(OAUTH2_SPEC | {"target": LARGE}))
    outcome = await world.settle()
    assert outcome.until is not None
    assert outcome.renewal_at is not None
    world.clock.turn_to(outcome.renewal_at)

    await world.settle()

    assert ["seed"] == world.pipedrive.spent


async def test_a_template_that_becomes_too_large_leaves_the_published_secret_alone(world: FakedOperator) -> None:
    """The workload keeps its token."""
    large_scope(world)
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    before = world.value("access_token")

    world.cluster.apply(resource(OAUTH2_SPEC | {"target": LARGE}, generation=2))
    await world.settle()

    assert "fresh" == before == world.value("access_token")
    assert ("False", "SecretWriteDenied") == world.condition(ConditionType.READY)


def env_file(template: str) -> dict[str, Any]:
    """Build a spec with a .env file."""
    return API_TOKEN_SPEC | {"target": {"data": {".env": template}}}


async def test_a_value_that_would_end_its_quotes_is_not_published(world: FakedOperator) -> None:
    """The message names the reference and the filter to use; with the filter, it is published."""
    hostile = 'x"; touch /tmp/owned; "'
    world.vault.put(TOKEN_LOCATION, api_token=hostile)
    world.pipedrive.accounts[hostile] = ACCOUNT
    world.cluster.apply(resource(env_file('TOKEN="$(api_token)"\n')))
    await world.settle()

    assert ("False", "SecretWriteDenied") == world.condition(ConditionType.READY)
    assert "spec.target.data[.env]" in message(world)
    assert "$(api_token|sh)" in message(world)
    assert "touch" not in message(world)
    assert world.value(".env") is None

    world.cluster.apply(resource(env_file("TOKEN=$(api_token|sh)\n"), generation=2))
    await world.settle()

    assert f"TOKEN='{hostile}'\n" == world.value(".env")


async def test_an_account_whose_domain_is_not_a_dns_label_is_not_published(world: FakedOperator) -> None:
    """An address is built from the domain, so it does not matter how the account became known."""
    spec = {"apiToken": API_TOKEN_SPEC["apiToken"]}
    account = {"companyId": 12, "companyDomain": "evil.example/#", "userId": 34}
    authorized = {
        "type": "Authorized",
        "status": "True",
        "reason": "Accepted",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": format_time(NOW),
    }
    body = resource(spec)
    body["status"] = {"account": account, "conditions": [authorized]}
    world.cluster.apply(body)
    world.pipedrive.accounts["a" * 40] = replace(ACCOUNT, company_domain="evil.example/#")

    await world.settle()

    assert ("False", "SecretWriteDenied") == world.condition(ConditionType.READY)
    assert "not a DNS label" in message(world)
    assert world.value("api_domain") is None
