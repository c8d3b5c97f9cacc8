"""Two releases for different namespaces side by side, and a namespace that moves from one to the other.

The steps are those of docs/scaling.md: take the namespace from the old release, wait until its rollout has ended, see
that its escrow is empty, and only then give the namespace to the new release.
"""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from support.operated import Json, settings_for
from support.release import READS_CRD, Release
from support.secret_history import SecretHistory
from support.tenant import Tenant, eventually, now
from testbed.control_plane import ControlPlane
from testbed.link import Link, Links
from testbed.openbao import OpenBao
from testbed.pipedrive.client import ControlClient

RENEW_BEFORE: Final = 90
"""In seconds: what a move may take on a slow machine."""
EXPIRES_IN: Final = 2 * RENEW_BEFORE
INTENT: Final = timedelta(seconds=27)
"""How long an intent lasts: five time-outs of Pipedrive, of five seconds each, and two seconds."""
PUBLISHED_WITHIN: Final = 150.0
"""In seconds, once the new release leads: more than an intent lasts."""
CRD: Final = "pipedrivecredentials.pipedrive-operator.io"

CreateTenant = Callable[..., Tenant]


@dataclass(frozen=True, kw_only=True)
class World:
    """Two releases, each with a namespace that stays with it, and the namespace that moves."""

    old: Release
    new: Release
    stays_old: str
    stays_new: str
    moves: str
    tenant: CreateTenant
    """Returns a company of its own, in the namespace that moves unless another one is named."""
    vault_of_old: Link

    def give_to_old(self) -> None:
        """Let the old release watch the namespace that moves."""
        self.old.watch(self.stays_old, self.moves)

    def take_from_old(self) -> None:
        """Let the old release watch it no more."""
        self.old.watch(self.stays_old)

    def give_to_new(self) -> None:
        """Let the new release watch it."""
        self.new.watch(self.stays_new, self.moves)


@pytest.fixture(scope="module")
def client(pipedrive: ControlClient, client_id: str) -> Iterator[str]:
    """Return the client id, and let access tokens be valid for as long as these tests need."""
    before = pipedrive.view("switches")["expires_in"]
    pipedrive.set_switches(expires_in=EXPIRES_IN)
    yield client_id
    pipedrive.set_switches(expires_in=before)


@pytest.fixture(scope="module")
def roles(control_plane: ControlPlane, user: Callable[[str], Path], crd: None) -> None:
    """Create the roles of a release for some namespaces."""
    assert (crd, callable(user)) == (None, True)
    resource = ("--resource=customresourcedefinitions.apiextensions.k8s.io", f"--resource-name={CRD}")
    control_plane.kubectl("create", "clusterrole", READS_CRD, "--verb=get", *resource)


@pytest.fixture
def create_tenant(
    control_plane: ControlPlane, openbao: OpenBao, pipedrive: ControlClient, client: str, namespace: str
) -> CreateTenant:
    """Return a function that creates a tenant."""

    def create(of: str = namespace) -> Tenant:
        parts: Json = {"cluster": control_plane, "openbao": openbao, "pipedrive": pipedrive}
        return Tenant(**parts, client_id=client, namespace=of)

    return create


@pytest.fixture
def create_release(
    control_plane: ControlPlane, openbao: OpenBao, pipedrive: ControlClient, vault_token: Path, tmp_path: Path
) -> Callable[[str, str], Release]:
    """Return a function that creates a release with a name and an address of Vault."""

    def create(name: str, vault: str) -> Release:
        def settings(kubeconfig: Path) -> Json:
            made = settings_for(openbao, pipedrive.url, kubeconfig=kubeconfig, token_file=vault_token)
            made["vault"]["connections"]["default"]["address"] = vault
            return made | {"controller": {"pollInterval": "1h", "verifyInterval": "1h"}}

        return Release(name=name, cluster=control_plane, settings=settings, folder=tmp_path)

    return create


@pytest.fixture
def world(
    create_release: Callable[[str, str], Release], create_tenant: CreateTenant, roles: None, namespace: str
) -> Iterator[World]:
    """Run both releases; the old one watches the namespace that moves."""
    assert roles is None
    moves, (stays_old, stays_new) = create_tenant(), [created(create_tenant()) for _ in range(2)]
    with Links() as links:
        vault_of_old = links.to(moves.openbao.port)
        world = World(
            old=create_release(f"old-{namespace}", vault_of_old.url),
            new=create_release(f"new-{namespace}", moves.openbao.address),
            stays_old=stays_old,
            stays_new=stays_new,
            moves=namespace,
            tenant=create_tenant,
            vault_of_old=vault_of_old,
        )
        try:
            world.give_to_old()
            world.new.watch(stays_new)
            yield world
        finally:
            moves.pipedrive.clear_faults()
            vault_of_old.mend()
            world.old.stop()
            world.new.stop()


def created(tenant: Tenant) -> str:
    """Create one more namespace, and return its name."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    tenant.cluster.client().create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def test_a_namespace_moves_without_an_expired_second_and_without_a_token_spent_twice(world: World) -> None:
    """One refresh is in flight when the old replica is asked to stop; another is due while nobody watches.

    The old release has no right any more to report that it has handled a request, so the new one refreshes once more.
    """
    due, in_flight = world.tenant(), world.tenant()
    staying = world.tenant(world.stays_old), world.tenant(world.stays_new)
    due.apply_oauth2("due", oauth2={"renewBefore": f"{RENEW_BEFORE}s"})
    in_flight.apply_oauth2("in-flight")
    for tenant in staying:
        tenant.apply_oauth2()
        tenant.wait_until_published()
    before = [due.wait_until_published("due"), in_flight.wait_until_published("in-flight")]

    with SecretHistory(due, "due") as first, SecretHistory(in_flight, "in-flight") as second:
        with world.old.rollout(world.stays_old):
            begin_refresh(in_flight, "in-flight", effect="after")
            world.old.ask_to_stop()
            world.old.wait_until_it_holds_on()
            in_flight.pipedrive.clear_faults()
        assert [] == world.old.escrow
        eventually(lambda: renewal_time(due, "due") < datetime.now(UTC), within=EXPIRES_IN)
        left_alone = due.stored("due")["access_token"]
        world.give_to_new()
        wait_for_refreshed(due, "due", before[0])
        wait_for_refreshed(in_flight, "in-flight", before[1])

    assert before[0]["access_token"] == left_alone
    for history in (first, second):
        assert timedelta(0) < history.shortest_life
        assert history.never_goes_back
        assert 0 == history.absences
    assert_nothing_is_spent_twice(due, refreshes=2)
    assert_nothing_is_spent_twice(in_flight, refreshes=3)
    for tenant in staying:
        tenant.annotate("pipedrivecredential", "acme", requested_at=now(), request="refresh")
        wait_for_refreshed(tenant, "acme", tenant.secret() or {})


def test_an_intent_of_a_replica_that_died_is_waited_out_by_the_new_release(world: World) -> None:
    """The refresh token was not spent, and is sent again only when the intent of the dead holder has ended."""
    tenant = world.tenant()
    tenant.apply_oauth2()
    before = tenant.wait_until_published()
    begin_refresh(tenant, "acme", effect="before")
    world.old.kill()
    tenant.pipedrive.clear_faults()
    left_behind = tenant.stored("acme")

    world.take_from_old()
    assert [] == world.old.escrow
    world.give_to_new()
    asked_at = datetime.now(UTC)
    tenant.annotate("pipedrivecredential", "acme", requested_at=now(), request="refresh")
    wait_for_refreshed(tenant, "acme", before)

    assert "refresh_id" in left_behind
    assert INTENT < datetime.now(UTC) - asked_at
    assert_nothing_is_spent_twice(tenant, refreshes=3)


def test_an_escrow_that_the_old_release_leaves_is_stored_when_it_gets_the_namespace_back(world: World) -> None:
    """A release settles only the escrow of credentials that it watches; the refresh token in Vault is spent."""
    tenant = world.tenant()
    before = leave_escrow(world, tenant)
    world.take_from_old()
    left_behind = world.old.escrow

    world.give_to_old()
    eventually(lambda: not world.old.escrow)
    world.take_from_old()
    world.give_to_new()
    wait_for_refreshed(tenant, "acme", before)

    assert 1 == len(left_behind)
    assert_nothing_is_spent_twice(tenant, refreshes=2)


def test_a_copy_of_an_escrow_is_stored_by_the_release_that_gets_it_before_the_namespace(world: World) -> None:
    """This is for an old release that cannot get the namespace back. Its own copy can be deleted then."""
    tenant = world.tenant()
    before = leave_escrow(world, tenant)
    world.take_from_old()
    (left_behind,) = world.old.escrow

    copy_secret(tenant, left_behind, source=world.old.name, target=world.new.name)
    world.give_to_new()
    wait_for_refreshed(tenant, "acme", before)

    eventually(lambda: not world.new.escrow)
    assert_nothing_is_spent_twice(tenant, refreshes=2)


def leave_escrow(world: World, tenant: Tenant) -> Json:
    """Refresh while the old release cannot reach Vault, kill its replica, and return what is published."""
    tenant.apply_oauth2()
    before = tenant.wait_until_published()
    begin_refresh(tenant, "acme", effect="after")
    world.vault_of_old.cut()
    tenant.pipedrive.clear_faults()
    eventually(lambda: world.old.escrow)
    world.old.kill()
    world.vault_of_old.mend()
    return before


def begin_refresh(tenant: Tenant, credential: str, *, effect: str) -> None:
    """Request a refresh whose response Pipedrive holds back, before or after the refresh token is spent."""
    sent = len(tenant.calls())
    tenant.pipedrive.add_fault("hang", endpoint="token", effect=effect, company_id=tenant.company_id)
    tenant.annotate("pipedrivecredential", credential, requested_at=now(), request="refresh")
    eventually(lambda: any(call.is_refresh for call in tenant.calls()[sent:]))


def copy_secret(tenant: Tenant, name: str, *, source: str, target: str) -> None:
    """Copy a Secret to another namespace."""
    found = json.loads(tenant.cluster.kubectl("get", name, f"--namespace={source}", "--output=json"))
    metadata = {key: found["metadata"][key] for key in ("name", "labels", "annotations")}
    copy = json.dumps({**found, "metadata": {**metadata, "namespace": target}})
    tenant.cluster.kubectl("apply", "--filename=-", stdin=copy)


def renewal_time(tenant: Tenant, credential: str) -> datetime:
    """Return when the credential becomes due for a refresh."""
    found = tenant.get("pipedrivecredential", credential)
    assert found is not None
    return datetime.fromisoformat(found["status"]["renewalTime"])


def wait_for_refreshed(tenant: Tenant, credential: str, before: Json) -> None:
    """Wait until the Secret holds another access token than before, namely the one in Vault."""

    def look() -> bool:
        published, stored = tenant.secret(credential) or {}, tenant.stored(credential)
        return bool(before["access_token"] != published["access_token"] == stored["access_token"])

    look.__doc__ = f"{credential} refreshed and published"
    eventually(look, within=PUBLISHED_WITHIN)


def assert_nothing_is_spent_twice(tenant: Tenant, *, refreshes: int) -> None:
    """Check how many refreshes there were, and that Pipedrive never saw a refresh token that it had replaced."""
    calls = [call for call in tenant.calls() if call.is_refresh]
    assert refreshes == len(calls)
    assert not any(call.replayed for call in calls)
    grants = {call.subject.grant_id for call in calls}
    assert [] == [one for one in tenant.pipedrive.ledger().double_spent() if one.spent.subject.grant_id in grants]
    assert [] == [pair for pair in tenant.pipedrive.ledger().overlaps() if pair[0].subject.grant_id in grants]
