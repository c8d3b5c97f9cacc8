"""The person's own machine: a port on loopback, a browser, and a hidden prompt."""

import io
import queue
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse

import pytest

from kubectl_pipedrive.errors import PortTaken
from kubectl_pipedrive.machine import LocalMachine


@pytest.fixture
def port() -> int:
    """Return a port that is free for IPv4 and IPv6."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def asked(host: str, port: int, path: str, method: str = "GET") -> Iterator[HTTPResponse]:
    """Send a request, without following a redirect."""
    connection = HTTPConnection(host, port, timeout=5)
    connection.request(method, path)
    yield connection.getresponse()
    connection.close()


def test_a_redirect_arrives_and_leaves_the_address_bar(port: int) -> None:
    """The browser is sent on to the address without the code."""
    with LocalMachine().callback(f"http://localhost:{port}/callback") as callback:
        with asked("127.0.0.1", port, "/callback?code=c&state=s") as response:
            assert (303, "/callback") == (response.status, response.headers["Location"])
            assert "no-store" == response.headers["Cache-Control"]
        assert "code=c&state=s" == callback.take(5)
        with asked("127.0.0.1", port, "/callback") as response:
            assert 200 == response.status
            assert b"Return to the terminal" in response.read()
        assert None is callback.take(0.01)


@pytest.mark.parametrize("path", ["/", "/callback/", "/callback/x?code=c", "/Callback?code=c"])
def test_only_the_exact_path_counts(port: int, path: str) -> None:
    """Everything else is not found."""
    with LocalMachine().callback(f"http://127.0.0.1:{port}/callback") as callback:
        with asked("127.0.0.1", port, path) as response:
            assert 404 == response.status
        assert None is callback.take(0.01)


def test_only_get_is_answered(port: int) -> None:
    """A form of another page cannot post here."""
    with (
        LocalMachine().callback(f"http://127.0.0.1:{port}/callback"),
        asked("127.0.0.1", port, "/callback?code=c", "POST") as response,
    ):
        assert 501 == response.status


def test_the_port_is_free_again_afterwards(port: int) -> None:
    """It can be taken twice in a row."""
    for _ in range(2):
        with LocalMachine().callback(f"http://localhost:{port}/callback"):
            pass


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_another_program_uses_is_refused(port: int, host: str) -> None:
    """One of the two addresses is enough, because the browser could send the code there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as other:
        other.bind((host, port))
        other.listen()

        with (
            pytest.raises(PortTaken, match=f"localhost:{port}"),
            LocalMachine().callback(f"http://localhost:{port}/cb"),
        ):
            pass


def test_the_browser_gets_an_address_without_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address redirects it once."""
    opened: queue.SimpleQueue[str] = queue.SimpleQueue()
    monkeypatch.setenv("DISPLAY", ":0")

    def open_url(url: str) -> bool:
        opened.put(url)
        return True

    monkeypatch.setattr("webbrowser.open", open_url)

    assert LocalMachine().open_browser("https://example.com/?key=secret")

    url = opened.get_nowait()
    assert "secret" not in url
    host, _, path = url.removeprefix("http://").partition("/")
    number = int(host.rpartition(":")[2])
    with asked("127.0.0.1", number, "/guess") as response:
        assert 404 == response.status
    with asked("127.0.0.1", number, f"/{path}") as response:
        assert (303, "https://example.com/?key=secret") == (response.status, response.headers["Location"])
    with asked("127.0.0.1", number, f"/{path}") as response:
        assert 410 == response.status
        assert b"used already" in response.read()


def test_without_a_screen_no_browser_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in the terminal would take the terminal away."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)

    assert not LocalMachine().open_browser("https://example.com")


def test_an_address_can_come_from_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is then no terminal that could show it."""
    monkeypatch.setattr("sys.stdin", io.StringIO("https://example.com\n"))

    assert "https://example.com\n" == LocalMachine().ask_hidden("> ")
    with pytest.raises(EOFError):
        LocalMachine().ask_hidden("> ")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt this process: a shell lets what it runs in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_second_ctrl_c_does_not_stop_the_tidying_up() -> None:
    """Neither here nor in the programs that are started; afterwards Ctrl-C works as before."""
    with LocalMachine().uninterrupted():
        signal.raise_signal(signal.SIGINT)
        child = [sys.executable, "-c", "import signal; print(signal.getsignal(2) == signal.SIG_IGN)"]
        assert "True\n" == subprocess.run(child, capture_output=True, text=True, check=True).stdout

    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_chance_is_different_each_time() -> None:
    """This holds for keys and for names."""
    machine = LocalMachine()

    assert 32 == len(machine.random_bytes(32))
    assert machine.random_bytes(32) != machine.random_bytes(32)
    assert machine.random_name(6) != machine.random_name(6)
