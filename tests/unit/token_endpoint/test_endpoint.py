"""The token endpoint as a process: its command line, its HTTP server, and what it may import."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from pipedrive_operator.commands import main as commands
from pipedrive_operator.token_endpoint.clients import digest
from pipedrive_operator.token_endpoint.command import main
from pipedrive_operator.token_endpoint.server import MOST_CONNECTIONS

ROOT = Path(__file__).parents[3]
GRANT = "grant_type=client_credentials&client_id=acme&client_secret=secret"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
COMMAND = (sys.executable, "-m", "pipedrive_operator", "token-endpoint")


MOST_MEMORY = 12 * 1024
"""In KiB: resident memory above that of a bare Python. Measured: 9.5 MiB; with OpenSSL it would be 14."""
LONGEST_START = 12
"""In processor times of a bare Python. Measured: 8; the operator's other commands take 30."""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    """Return a folder with a client and a token that is valid for decades."""
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "acme").write_text(digest("secret"))
    (tmp_path / "tokens" / "acme").mkdir(parents=True)
    (tmp_path / "tokens" / "acme" / "access_token").write_text("v1u:abc")
    (tmp_path / "tokens" / "acme" / "expires_at").write_text("2096-03-04T13:00:00Z")
    return tmp_path


@dataclass(frozen=True)
class Running:
    """A running endpoint."""

    port: int
    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid


@pytest.fixture
def running(mounts: Path) -> Iterator[Running]:
    """Run the endpoint as a container would."""
    command = (*COMMAND, "--tokens", str(mounts / "tokens"), "--clients", str(mounts / "clients"), "--port", "0")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"127\.0\.0\.1:(\d+)/token", process.stderr.readline())
        assert found is not None
        yield Running(int(found.group(1)), process)
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(timeout=10)
        assert "" == process.stderr.read()


@pytest.fixture
def endpoint(running: Running) -> int:
    """Run the endpoint, and return its port."""
    return running.port


def ask(port: int, method: str, path: str, body: str | None = None) -> tuple[int, Message, str]:
    """Send a request, and return the status, the headers and the body."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(method, path, body, FORM)
        with connection.getresponse() as response:
            return response.status, response.headers, response.read().decode()


def test_a_token_is_served_and_must_not_be_stored(endpoint: int) -> None:
    """RFC 6749 section 5.1 requires the header `Cache-Control: no-store`."""
    status, headers, body = ask(endpoint, "POST", "/token", GRANT)

    assert 200 == status
    assert "v1u:abc" == json.loads(body)["access_token"]
    assert "no-store" == headers["Cache-Control"]
    assert "application/json" == headers["Content-Type"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/healthz", None, 200),
        ("HEAD", "/healthz", None, 200),
        ("GET", "/token", None, 405),
        ("HEAD", "/token", None, 405),
        ("POST", "http://127.0.0.1:8081/token", GRANT, 200),
        ("GET", "/", None, 404),
        ("POST", "/", GRANT, 404),
        ("POST", "/token/../clients/acme", GRANT, 404),
        ("POST", "/token", "x" * 9000, 413),
        ("PUT", "/token", GRANT, 501),
    ],
)
def test_each_request_gets_its_status(endpoint: int, method: str, path: str, body: str | None, status: int) -> None:
    """Clients that are set up for a proxy put the address before the path."""
    assert status == ask(endpoint, method, path, body)[0]


def test_a_method_that_is_not_supported_is_refused_in_json(endpoint: int) -> None:
    """`http.server` would answer with a page, which OAuth2 clients cannot parse."""
    _, headers, body = ask(endpoint, "OPTIONS", "/token")

    assert ("application/json", "no-store") == (headers["Content-Type"], headers["Cache-Control"])
    assert "invalid_request" == json.loads(body)["error"]


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET " + b"x" * 70000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["chunked", "negative length", "TLS", "long line"],
)
def test_a_malformed_request_does_not_stop_the_endpoint(endpoint: int, raw: bytes) -> None:
    """A broken client gets an error or a closed connection; the next one is served."""
    with socket.create_connection(("127.0.0.1", endpoint), timeout=10) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    assert 200 == ask(endpoint, "POST", "/token", GRANT)[0]


def test_leading_zeros_do_not_hide_a_large_body(endpoint: int) -> None:
    """The endpoint would otherwise wait for it."""
    with socket.create_connection(("127.0.0.1", endpoint), timeout=10) as client:
        client.sendall(b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 00000000099999999999\r\n\r\n")

        assert b"HTTP/1.1 413" == client.recv(12)


def test_parallel_clients_are_all_served(running: Running) -> None:
    """The workers of one n8n may all connect before the endpoint accepts the first connection."""
    head = f"POST /token HTTP/1.0\r\nContent-Type: {FORM['Content-Type']}\r\nContent-Length: {len(GRANT)}\r\n\r\n"
    with ExitStack() as stack:
        os.kill(running.pid, signal.SIGSTOP)
        stack.callback(os.kill, running.pid, signal.SIGCONT)
        address = ("127.0.0.1", running.port)
        clients = [stack.enter_context(socket.create_connection(address, timeout=5)) for _ in range(60)]
        for client in clients:
            client.sendall(head.encode() + GRANT.encode())
        os.kill(running.pid, signal.SIGCONT)

        assert {b"HTTP/1.1 200 OK"} == {client.recv(15) for client in clients}


def not_accepted(port: int) -> int:
    """Return how many connections wait to be accepted (proc_pid_net(5): the receive queue of a listening socket)."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (queue,) = (row[4] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A")
    return int(queue.partition(":")[2], 16)


def test_it_stops_while_all_connections_are_taken(running: Running) -> None:
    """The kubelet kills a container that does not stop in time, and waits for it until then."""
    with ExitStack() as stack:
        address = ("127.0.0.1", running.port)
        for _ in range(MOST_CONNECTIONS):
            client = stack.enter_context(socket.create_connection(address, timeout=10))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(15) == b"HTTP/1.1 200 OK"
        stack.enter_context(socket.create_connection(address, timeout=10))
        while not_accepted(running.port):
            pass
        os.kill(running.pid, signal.SIGTERM)

        assert 0 == running.process.wait(timeout=5)


def test_a_new_client_is_ready_to_use(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the secret once, and the digest for the Secret."""
    assert 0 == main(["--new-client", "acme"])

    shown = capsys.readouterr().out
    secret = re.search(r"client secret: (\w{64})", shown)
    assert secret is not None
    assert f"generic token-clients --from-literal=acme={digest(secret.group(1))}" in shown
    assert "secretName: token-clients " in (ROOT / "crds/samples/n8n.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--new-client", "Acme"), "is not a Kubernetes name"),
        (("--port", "http"), "is not a port"),
        (("--port", "70000"), "is not a port"),
    ],
)
def test_wrong_usage_names_the_option(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    """The exit code is 2, as for every command."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))

    assert 2 == ended.value.code
    assert words in capsys.readouterr().err


def test_an_address_in_use_ends_with_what_to_do(endpoint: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Two sidecars of one pod share its ports."""
    assert 1 == main(["--port", str(endpoint)])
    assert "choose another --host or --port" in capsys.readouterr().err


def test_the_command_is_listed_with_the_others() -> None:
    """`pipedrive-operator --help` names it, and its own help is the same either way."""
    listed = CliRunner().invoke(commands, ["--help"]).output
    helped = subprocess.run((*COMMAND, "--help"), capture_output=True, text=True, check=True).stdout

    assert "token-endpoint" in listed
    assert "RFC 6749" in helped
    assert "--new-client" in helped


def test_it_loads_nothing_of_the_operator() -> None:
    """The sidecar must be small: it loads only the standard library and its own modules."""
    code = (
        "import sys; from pipedrive_operator.token_endpoint.command import main; "
        "print(*sorted(name for name in sys.modules if name.partition('.')[0] not in sys.stdlib_module_names))"
    )
    environment = {"PYTHONPATH": str(Path(__file__).parents[3] / "operator")}
    done = subprocess.run(
        (sys.executable, "-S", "-c", code), capture_output=True, text=True, check=True, env=environment
    )

    foreign = [name for name in done.stdout.split() if name != "__main__"]
    assert foreign
    assert [] == [name for name in foreign if not re.match(r"pipedrive_operator($|\.token_endpoint($|\.))", name)]


def resident(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found.group(1))


def test_it_is_small(running: Running) -> None:
    """Its memory beyond that of Python itself, after it has served a token."""
    assert 200 == ask(running.port, "POST", "/token", GRANT)[0]
    with subprocess.Popen((sys.executable, "-c", "print(flush=True); input()"), stdin=-1, stdout=-1, text=True) as bare:
        assert bare.stdout is not None
        bare.stdout.readline()
        own = resident(running.pid) - resident(bare.pid)
        bare.communicate("\n")

    assert own < MOST_MEMORY


def processor_time(*command: str) -> float:
    """Return the seconds of processor time that a command takes: the least of five runs, which load hardly changes."""
    found = []
    for _ in range(5):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert 0 == process.returncode
        found.append(used.ru_utime + used.ru_stime)
    return min(found)


def test_it_starts_quickly() -> None:
    """Compared with Python itself, since machines differ. `--new-client` imports all that serving needs."""
    bare = processor_time(sys.executable, "-c", "pass")

    assert processor_time(*COMMAND, "--new-client", "acme") < LONGEST_START * bare


def test_the_sample_runs_it_longer_than_n8n() -> None:
    """When a pod stops, n8n finishes its executions, and they may need a token. An init container stops last."""
    documents = yaml.safe_load_all((ROOT / "crds/samples/n8n.yaml").read_text())
    (pod,) = (found["spec"]["template"]["spec"] for found in documents if "Deployment" == found["kind"])

    assert [("token-endpoint", "Always")] == [(one["name"], one["restartPolicy"]) for one in pod["initContainers"]]


def test_the_image_has_the_same_entry_point_as_the_package() -> None:
    """If its script imported the other commands first, the sidecar would be twice as large."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        module, _, function = tomllib.load(file)["project"]["scripts"]["pipedrive-operator"].partition(":")

    assert f"'from {module} import {function}' '{function}()'" in (ROOT / "Dockerfile").read_text()
