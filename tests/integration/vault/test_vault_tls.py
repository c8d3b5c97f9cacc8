"""A real OpenBao with TLS: certificates that cannot be accepted, and CAs that are replaced."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.adapters.vault.http.circuit_breaker import LONGEST_PROBE_PAUSE
from pipedrive_operator.config.vault import VaultSettings
from pipedrive_operator.core.grant.document import OPERATOR, VaultLocation
from pipedrive_operator.core.values.conditions import Reason
from pipedrive_operator.core.values.errors import VaultUnavailable
from support.vault_clock import trouble_of
from testbed.certificates import Authority, KeyPair
from testbed.link import Link, Links
from testbed.openbao import OpenBao

ACME = VaultLocation(connection="default", mount="secret", path="acme")
HOSTS = ["vault.example.com", "127.0.0.1"]
Connect = Callable[..., VaultConnections]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Create the CA of the server."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def running(authority: Authority) -> Iterator[OpenBao]:
    """Run the server."""
    with OpenBao(tls=authority.serving("shown", HOSTS)) as running:
        running.write_secret("acme", {"token": "t"})
        yield running


@dataclass(frozen=True)
class Server:
    """The server, and the link to it."""

    openbao: OpenBao
    link: Link

    def show(self, pair: KeyPair) -> None:
        """Present another certificate, and break the open connections so that all clients see it."""
        self.openbao.show(pair)
        self.link.cut()
        self.link.mend()


@pytest.fixture
def server(running: OpenBao, authority: Authority) -> Iterator[Server]:
    """Provide the server; after the test it presents a valid certificate again."""
    with Links() as links:
        yield Server(running, links.to(running.tls_port))
    running.show(authority.serving("good", HOSTS))


@pytest.fixture
async def connect(server: Server, clock: TurnedClock, tmp_path: Path) -> AsyncIterator[Connect]:
    """Return a function that opens the adapter with one connection through the link."""
    (tmp_path / "token").write_text(server.openbao.root_token)
    async with AsyncExitStack() as stack:

        def connected(host: str = "127.0.0.1", **settings: object) -> VaultConnections:
            auth = {"method": "token", "tokenFile": tmp_path / "token"}
            connection = {"address": f"https://{host}:{server.link.port}", "auth": auth, **settings}
            vault = VaultConnections(VaultSettings.model_validate({"connections": {"default": connection}}), clock)
            stack.push_async_exit(vault)
            return vault

        yield connected


async def test_a_certificate_for_another_host_name_names_both_settings(connect: Connect, authority: Authority) -> None:
    """Either the address is wrong, or serverName is missing."""
    trouble = await trouble_of(connect("localhost", caFile=authority.certificate), ACME)

    assert Reason.VAULT_UNAVAILABLE is trouble.reason
    assert (
        "presents a certificate for another host name: correct vault.connections.default.address, or set "
        "vault.connections.default.serverName to a name in the certificate"
    ) in trouble.message
    named = connect("localhost", caFile=authority.certificate, serverName="vault.example.com")
    assert await named.read(ACME, OPERATOR) is not None


async def test_an_unknown_ca_names_the_setting(connect: Connect) -> None:
    """Without caFile only public CAs are trusted."""
    trouble = await trouble_of(connect(), ACME)

    assert Reason.VAULT_UNAVAILABLE is trouble.reason
    assert "presents a certificate that is not trusted: set vault.connections.default.caFile" in trouble.message


async def test_an_expired_server_certificate_is_reported_until_it_is_renewed(
    connect: Connect, authority: Authority, server: Server, clock: TurnedClock
) -> None:
    """It is the server's fault, so the message names no setting."""
    server.show(authority.serving("expired", HOSTS, lifetime=-timedelta(minutes=1)))
    vault = connect(caFile=authority.certificate)

    trouble = await trouble_of(vault, ACME)
    server.show(authority.serving("renewed", HOSTS))
    clock.turn(LONGEST_PROBE_PAUSE)

    assert Reason.VAULT_UNAVAILABLE is trouble.reason
    assert trouble.message.endswith("presents a certificate that has expired: renew the server's certificate")
    assert await vault.read(ACME, OPERATOR) is not None


async def test_a_ca_is_replaced_without_a_restart(
    connect: Connect, authority: Authority, server: Server, clock: TurnedClock, tmp_path: Path
) -> None:
    """The new CA is trusted at the first request after the change, and the former one no longer is."""
    ca_file = tmp_path / "ca.crt"
    ca_file.write_text(authority.certificate.read_text())
    vault = connect(caFile=ca_file)
    before = await vault.read(ACME, OPERATOR)
    new = Authority(tmp_path / "new")

    server.show(new.serving("new", HOSTS))
    assert "presents a certificate that is not trusted" in (await trouble_of(vault, ACME)).message
    ca_file.write_text(new.certificate.read_text())
    clock.turn(LONGEST_PROBE_PAUSE)

    assert before == await vault.read(ACME, OPERATOR)
    server.show(authority.serving("former", HOSTS))
    with pytest.raises(VaultUnavailable, match="presents a certificate that is not trusted"):
        await vault.read(ACME, OPERATOR)


@pytest.fixture(scope="module")
def strict(authority: Authority) -> Iterator[OpenBao]:
    """Run a server that requires a client certificate of the CA."""
    with OpenBao(tls=authority.serving("strict", HOSTS), clients=authority.certificate) as running:
        running.write_secret("acme", {"token": "t"})
        yield running


MESSAGES = {
    "none": "requires a client certificate that it trusts: set vault.connections.default.",
    "unknown": "requires a client certificate that it trusts: set vault.connections.default.",
    "expired": "rejects the operator's client certificate, which has expired: renew the certificate in vault.",
}


@pytest.mark.parametrize("presented", MESSAGES)
async def test_a_rejected_client_certificate_is_reported_until_it_is_replaced(
    strict: OpenBao, authority: Authority, clock: TurnedClock, tmp_path: Path, presented: str
) -> None:
    """A valid certificate in the same file is used without a restart."""
    made: dict[str, KeyPair | None] = {
        "none": None,
        "unknown": Authority(tmp_path / "other").client("unknown", user="operator"),
        "expired": authority.client("expired", user="operator", lifetime=-timedelta(minutes=1)),
    }
    good = authority.client("good-client", user="operator")
    (tmp_path / "token").write_text(strict.root_token)
    connection: dict[str, object] = {
        "address": strict.tls_address,
        "auth": {"method": "token", "tokenFile": tmp_path / "token"},
        "caFile": authority.certificate,
    }
    if pair := made[presented]:
        connection |= {"clientCertificateFile": pair.public, "clientKeyFile": pair.key}
    async with VaultConnections(VaultSettings.model_validate({"connections": {"default": connection}}), clock) as vault:
        trouble = await trouble_of(vault, ACME)

        assert Reason.VAULT_UNAVAILABLE is trouble.reason
        assert MESSAGES[presented] in trouble.message
        if pair:
            pair.public.write_bytes(good.public.read_bytes())
            pair.key.write_bytes(good.key.read_bytes())
            clock.turn(LONGEST_PROBE_PAUSE)
            assert await vault.read(ACME, OPERATOR) is not None
