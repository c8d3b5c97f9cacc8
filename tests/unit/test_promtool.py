"""Where promtool comes from, and what is said where it cannot be had."""

from pathlib import Path

import pytest

from testbed.prometheus import MissingError, promtool


def program(folder: Path, name: str, script: str) -> Path:
    """Put a program into a folder."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that is the whole PATH, and an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_an_installed_one_is_used(path: Path) -> None:
    """Nothing is fetched."""
    assert program(path, "promtool", "exit 0") == promtool()


def test_without_apt_the_remedy_is_told(path: Path) -> None:
    """Other distributions have it too, under names of their own."""
    assert [] == list(path.iterdir())

    with pytest.raises(MissingError, match="install Prometheus"):
        promtool()


def test_what_apt_says_is_told(path: Path) -> None:
    """As where its lists are empty and only root may refresh them."""
    program(path, "apt-get", 'echo "E: Unable to locate package prometheus"; exit 100')
    program(path, "dpkg-deb", "exit 0")

    with pytest.raises(MissingError, match=r"(?s)Unable to locate package.*Install the system package prometheus"):
        promtool()


def test_a_fetched_one_is_kept(path: Path, tmp_path: Path) -> None:
    """The second time, nothing is fetched."""
    program(path, "apt-get", ": > prometheus.deb")
    program(path, "dpkg-deb", '/bin/mkdir -p "$3/usr/bin" && /bin/cp /bin/sh "$3/usr/bin/promtool"')
    first = promtool()
    program(path, "apt-get", "exit 1")

    assert tmp_path / "cache" / "pipedrive-operator" / "prometheus" / "promtool" == first == promtool()
