"""An error that is kept keeps no other one alive: an outage may last for days, and each try in it fails anew."""

import gc
import weakref
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.values.errors import PipedriveUnavailable, SecretWriteDenied, Trouble, VaultUnavailable
from support.builders import API_TOKEN_SPEC, OAUTH2_SPEC, resource
from support.faked_operator import FakedOperator, seeded_world

TRIES = 6
Fail = Callable[[FakedOperator, Trouble], None]


def fail_vault(world: FakedOperator, trouble: Trouble) -> None:
    """Let each request to Vault fail."""
    world.vault.breaks = trouble


def fail_pipedrive(world: FakedOperator, trouble: Trouble) -> None:
    """Let each request to Pipedrive fail."""
    world.pipedrive.breaks = trouble


def fail_writes(world: FakedOperator, trouble: Trouble) -> None:
    """Let each write of a Secret fail."""
    world.cluster.breaks_secrets = trouble


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a seeded world."""
    async for made in seeded_world():
        yield made


@pytest.mark.parametrize(
    ("spec", "fail", "kind"),
    [
        pytest.param(API_TOKEN_SPEC, fail_vault, VaultUnavailable, id="reads"),
        pytest.param(OAUTH2_SPEC, fail_vault, VaultUnavailable, id="reads of a grant"),
        pytest.param(API_TOKEN_SPEC, fail_pipedrive, PipedriveUnavailable, id="verifications"),
        pytest.param(OAUTH2_SPEC, fail_pipedrive, PipedriveUnavailable, id="refreshes"),
        pytest.param(API_TOKEN_SPEC, fail_writes, SecretWriteDenied, id="writes"),
    ],
)
async def test_the_errors_of_an_outage_are_forgotten_one_by_one(
    world: FakedOperator, spec: dict[str, Any], fail: Fail, kind: type[Trouble]
) -> None:
    """A traceback would keep the memory of a credential alive, with the error before, and so on."""
    world.cluster.apply(resource(spec))
    raised: list[weakref.ref[Trouble]] = []
    for _ in range(TRIES):
        trouble = kind("it does not work")
        raised.append(weakref.ref(trouble))
        fail(world, trouble)
        del trouble
        await world.settle()
        world.clock.turn(timedelta(hours=1))
    gc.collect()

    assert [] == [each() for each in raised[:-2] if each() is not None]


async def test_a_kept_error_has_no_traceback(world: FakedOperator) -> None:
    """Its frames would keep everything alive that the code knew when it failed."""
    world.vault.breaks = VaultUnavailable("Vault is sealed")
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()

    assert world.vault.breaks.__traceback__ is None
