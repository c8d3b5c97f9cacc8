"""Where promtool comes from, and what is reported if it is not available."""

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
    """Make a folder the whole PATH, and use an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def test_an_installed_promtool_is_used(path: Path) -> None:
    """Nothing is downloaded."""
    assert program(path, "promtool", "exit 0") == promtool()


def test_without_apt_the_error_names_the_package_to_install(path: Path) -> None:
    """Other distributions have it too, under other names."""
    assert [] == list(path.iterdir())

    with pytest.raises(MissingError, match="install Prometheus"):
        promtool()


def test_the_output_of_apt_is_reported(path: Path) -> None:
    """Its lists may be empty, for example, and only root can refresh them."""
    program(path, "apt-get", 'echo "E: Unable to locate package prometheus"; exit 100')
    program(path, "dpkg-deb", "exit 0")

    with pytest.raises(MissingError, match=r"(?s)Unable to locate package.*Install the system package prometheus"):
        promtool()


def test_a_downloaded_promtool_is_kept(path: Path, tmp_path: Path) -> None:
    """The second time, nothing is downloaded."""
    program(path, "apt-get", ": > prometheus.deb")
    program(path, "dpkg-deb", '/bin/mkdir -p "$3/usr/bin" && /bin/cp /bin/sh "$3/usr/bin/promtool"')
    first = promtool()
    program(path, "apt-get", "exit 1")

    assert tmp_path / "cache" / "pipedrive-operator" / "prometheus" / "promtool" == first == promtool()
