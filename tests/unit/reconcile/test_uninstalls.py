"""Reported uninstalls: verified, at most one refresh a minute, and nothing is deleted on a caller's word."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator, Collection
from datetime import timedelta

import pytest

from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.core.decision.sources import resolve
from pipedrive_operator.core.grant.document import Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.uninstall import UninstallReport, read_uninstall_callback
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.errors import VaultUnavailable
from pipedrive_operator.fairness.slots import served_namespace
from pipedrive_operator.reconcile.uninstalls import Uninstalls
from support.builders import ACCOUNT, KEY, NOW, OAUTH2_SPEC, RULES, resource
from support.faked_operator import FakedOperator, seeded_world


def reported(
    client_id: str = "client", client_secret: str = "hush", *, company_id: int = ACCOUNT.company_id
) -> UninstallReport:
    """Build the report that a front makes of Pipedrive's callback."""
    body = {"client_id": client_id, "company_id": company_id, "user_id": ACCOUNT.user_id, "timestamp": "now"}
    basic = b64encode(f"{client_id}:{client_secret}".encode()).decode()
    report = read_uninstall_callback(json.dumps(body).encode(), f"Basic {basic}")
    assert report is not None
    return report


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Provide a world with a published credential."""
    async for made in seeded_world():
        made.cluster.apply(resource(OAUTH2_SPEC))
        await made.settle()
        made.clock.turn(timedelta(minutes=1))
        yield made


def uninstalls(world: FakedOperator) -> Uninstalls:
    """Build the handler of reports in one replica."""
    return Uninstalls(cache=world.cache, credentials=world.cluster, keeper=world.keeper, clock=world.clock)


class CountedCache(Cache):
    """A cache that counts how often all credentials are visited."""

    def __init__(self, world: FakedOperator) -> None:
        """Share the objects of a world's cache."""
        super().__init__(lambda credential: resolve(credential, RULES))
        self.__dict__.update(world.cache.__dict__)
        self.visits = 0

    @property
    def keys(self) -> Collection[Key]:
        """Count the visit."""
        self.visits += 1
        return super().keys


async def test_a_reported_uninstall_is_verified_by_a_refresh_and_named_in_the_status(world: FakedOperator) -> None:
    """`invalid_grant` decides; the last accepted value stays published until it expires."""
    world.pipedrive.alive.clear()

    await uninstalls(world).take(reported())
    await world.settle()

    assert ("False", "ConsentRequired") == world.condition(ConditionType.AUTHORIZED)
    assert "Pipedrive reported an uninstall at 2026-03-04T12:01:00Z" in world.message(ConditionType.AUTHORIZED)
    assert "access-1" == world.value("access_token")
    assert ["seed", "refresh-1"] == world.pipedrive.sent
    assert "UninstallReported" in [event.reason for event in world.cluster.events]


async def test_a_report_about_a_grant_that_is_alive_costs_one_refresh(world: FakedOperator) -> None:
    """A replay, or a report that arrives after the app was installed again."""
    await uninstalls(world).take(reported())
    await world.settle()
    await world.settle()

    assert ("True", "Published") == world.condition(ConditionType.READY)
    assert ["seed", "refresh-1"] == world.pipedrive.sent
    assert read_credential(world.cluster.credentials[KEY]).status.uninstall_reported_at is None


async def test_reports_cost_at_most_one_refresh_a_minute(world: FakedOperator) -> None:
    """A caller who knows the client secret must not wear out the grant or Pipedrive's budget."""
    world.pipedrive.alive.clear()
    receiver = uninstalls(world)
    for _ in range(3):
        await receiver.take(reported())
        await world.settle()
        world.clock.turn(timedelta(seconds=15))
    assert 2 == len(world.pipedrive.sent)

    world.clock.turn(timedelta(seconds=60))
    await receiver.take(reported())
    await world.settle()

    assert 3 == len(world.pipedrive.sent)


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(reported(client_secret="guessed"), id="another secret"),
        pytest.param(reported(client_id="another"), id="another client"),
        pytest.param(reported(company_id=99), id="another company"),
    ],
)
async def test_a_report_that_is_not_proven_is_ignored(world: FakedOperator, report: UninstallReport) -> None:
    """Nothing is written, and Pipedrive is not asked."""
    written = list(world.cluster.writes)

    await uninstalls(world).take(report)
    await world.settle()

    assert written == world.cluster.writes
    assert ["seed"] == world.pipedrive.sent


async def test_a_report_that_cannot_be_verified_is_ignored(world: FakedOperator) -> None:
    """The grant is refreshed at its renewal time anyway."""
    world.vault.breaks = VaultUnavailable("Vault is sealed")
    written = list(world.cluster.writes)

    await uninstalls(world).take(reported())

    assert written == world.cluster.writes


async def test_a_flood_of_reports_reads_vault_at_a_bounded_rate(world: FakedOperator) -> None:
    """They need no secret to be received."""
    receiver, before = uninstalls(world), len(world.vault.reads)

    for _ in range(100):
        await receiver.take(reported(client_secret="guessed"))

    assert len(world.vault.reads) - before <= 10


async def test_a_flood_of_reports_does_not_visit_all_credentials_each_time(world: FakedOperator) -> None:
    """Anyone who can reach the port can send reports, also about companies that nobody has."""
    visited = CountedCache(world)
    receiver = Uninstalls(cache=visited, credentials=world.cluster, keeper=world.keeper, clock=world.clock)

    for number in range(100):
        await receiver.take(reported(company_id=1000 + number))
    assert 1 == visited.visits

    world.clock.turn(timedelta(seconds=1))
    await receiver.take(reported())
    assert 2 == visited.visits


async def test_reads_for_a_report_count_for_the_namespace_of_the_credential(world: FakedOperator) -> None:
    """The operator's own share of Vault's slots is for its logins."""
    served: list[str] = []
    read = world.vault.read

    async def observed(location: VaultLocation, identity: VaultIdentity) -> Document | None:
        served.append(served_namespace())
        return await read(location, identity)

    world.vault.read = observed  # type: ignore[method-assign]
    await uninstalls(world).take(reported())

    assert [KEY.namespace] == served


async def test_the_report_is_kept_by_a_leader_that_has_not_seen_it(world: FakedOperator) -> None:
    """A standby has noted it, and the leader's watch lags behind."""
    stale = world.cache.credential(KEY)
    assert stale is not None
    await world.cluster.patch_status(KEY, {"uninstallReportedAt": "2026-03-04T12:01:00Z"})
    world.cache._credentials.objects[KEY] = stale  # noqa: SLF001  as a watch that lags behind leaves it
    world.clock.turn(timedelta(hours=2))
    await world.reconciler.reconcile(KEY)

    assert read_credential(world.cluster.credentials[KEY]).status.uninstall_reported_at == NOW + timedelta(minutes=1)
