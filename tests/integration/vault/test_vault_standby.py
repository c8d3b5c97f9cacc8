"""A real OpenBao of two servers on Raft, where the operator's server is a standby or becomes one."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.adapters.vault.http.circuit_breaker import LONGEST_PROBE_PAUSE
from pipedrive_operator.config.vault import VaultSettings
from pipedrive_operator.core.grant.document import OPERATOR, VaultLocation
from pipedrive_operator.core.values.conditions import Reason
from pipedrive_operator.core.values.errors import VaultUnavailable
from support.vault_clock import read_once_recovered, trouble_of
from testbed.link import Link, Links
from testbed.openbao import OpenBao

ACME = VaultLocation(connection="default", mount="secret", path="acme")
Connect = Callable[[OpenBao], VaultConnections]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two servers with one document; the standby forwards requests through `link`."""

    leader: OpenBao
    standby: OpenBao
    link: Link

    @property
    def forwarded(self) -> int:
        """How many requests with the operator's token reached the leader, directly or forwarded."""
        return sum(request.display_name == "token-operator" for request in self.leader.requests())


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Run both servers."""
    with ExitStack() as stack:
        links = stack.enter_context(Links())
        leader = stack.enter_context(OpenBao(durable=True, links=links))
        standby = stack.enter_context(OpenBao(leader=leader, links=links))
        assert leader.cluster_link is not None
        leader.put_policy("operator", 'path "secret/data/acme" { capabilities = ["read", "create", "update"] }')
        leader.write_secret("acme", {"token": "t"})
        yield Pair(leader=leader, standby=standby, link=leader.cluster_link)


@pytest.fixture
async def connect(pair: Pair, clock: TurnedClock, tmp_path: Path) -> AsyncIterator[Connect]:
    """Return a function that opens the adapter to one of the servers."""
    token_file = tmp_path / "token"
    token_file.write_text(pair.leader.create_token(["default", "operator"], display_name="operator"))
    async with AsyncExitStack() as stack:

        def connected(server: OpenBao) -> VaultConnections:
            connection = {"address": server.address, "auth": {"method": "token", "tokenFile": token_file}}
            settings = VaultSettings.model_validate({"connections": {"default": connection}})
            vault = VaultConnections(settings, clock)
            stack.push_async_exit(vault)
            return vault

        yield connected


async def test_a_standby_that_cannot_forward_is_reported_and_the_token_sent_to_no_other_server(
    pair: Pair, connect: Connect, clock: TurnedClock
) -> None:
    """This holds for a read, a write and a login; the same connection works once the link is restored."""
    vault = connect(pair.standby)
    version = await vault.write(ACME, {"token": "through the standby"}, OPERATOR, cas=1)
    before = await vault.read(ACME, OPERATOR)
    forwarded = pair.forwarded
    assert forwarded

    pair.link.cut()
    read, login = await trouble_of(vault, ACME), await trouble_of(connect(pair.standby), ACME)
    clock.turn(LONGEST_PROBE_PAUSE)
    with pytest.raises(VaultUnavailable) as write:
        await vault.write(ACME, {"token": "nowhere"}, OPERATOR, cas=version)

    for trouble in (read, login, write.value):
        assert Reason.VAULT_UNAVAILABLE is trouble.reason
        assert trouble.message == (
            'Vault connection "default" is a standby that could not forward the request to its active server, '
            f"{pair.leader.address}, and answered with a redirect (307). The operator does not follow redirects, so "
            "that its token goes to no other address. Check that the active server is running and that the standby "
            "reaches its cluster port, or set vault.connections.default.address to the active server"
        )
    assert forwarded == pair.forwarded
    pair.link.mend()
    assert before == await read_once_recovered(vault, ACME, clock)
    assert forwarded < pair.forwarded


async def test_a_standby_names_its_dead_leader_and_works_when_the_leader_is_back(
    pair: Pair, connect: Connect, clock: TurnedClock
) -> None:
    """The standby still redirects to the dead leader."""
    vault = connect(pair.standby)
    before = await vault.read(ACME, OPERATOR)

    pair.leader.kill()
    trouble = await trouble_of(vault, ACME)
    pair.leader.start()
    pair.leader.unseal()

    assert Reason.VAULT_UNAVAILABLE is trouble.reason
    assert f"its active server, {pair.leader.address}, and" in trouble.message
    assert "Check that the active server is running" in trouble.message
    assert before == await read_once_recovered(vault, ACME, clock)


async def test_a_leader_that_stepped_down_works_when_it_leads_again(
    pair: Pair, connect: Connect, clock: TurnedClock
) -> None:
    """For ten seconds there is no leader, as in a cluster without a quorum."""
    vault = connect(pair.leader)
    before = await vault.read(ACME, OPERATOR)

    pair.leader.request("PUT", "sys/step-down")
    trouble = await trouble_of(vault, ACME)

    assert Reason.VAULT_UNAVAILABLE is trouble.reason
    assert trouble.message == (
        'Vault connection "default" has no active server at the moment: the server that responded is a standby and '
        "knows of none. The servers elect one within seconds, if most of them are running and unsealed. If this "
        "persists, run `vault status` on each server, and start or unseal those that are down"
    )
    assert before == await read_once_recovered(vault, ACME, clock)
