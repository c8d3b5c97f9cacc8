"""What is reported if npm cannot deliver a package of Grafana's types, or delivers another one."""

import os
from pathlib import Path

import pytest

from testbed.grafana_types import NEWEST, PackageError, fetched


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of an npm that has yet to be written, and use an empty cache."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "npm"


def written(path: Path, script: str) -> None:
    """Write a program."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_the_words_of_npm_are_reported(npm: Path) -> None:
    """The registry may be out of reach."""
    written(npm, 'echo "npm error code ENOTFOUND" >&2; exit 1')

    with pytest.raises(PackageError, match=r"npm pack .*@grafana/schema.* failed: npm error code ENOTFOUND"):
        fetched(NEWEST)


def test_an_archive_with_another_hash_is_refused(npm: Path, tmp_path: Path) -> None:
    """It is neither unpacked nor kept."""
    written(npm, "echo something else > package.tgz")

    with pytest.raises(PackageError, match="does not have the pinned hash"):
        fetched(NEWEST)

    assert [] == list(tmp_path.glob("cache/**/package*"))
