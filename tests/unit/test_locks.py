"""The lock files pin every package with hashes, name no package source, and agree with pyproject.toml."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME: Final = "runtime.txt"
DEV: Final = "dev.txt"
RELEASE: Final = "release.txt"
LOCKS: Final = (RUNTIME, DEV, RELEASE)


def text(lock: str) -> str:
    """Return a lock's text."""
    return (ROOT / "requirements" / lock).read_text()


def pins(lock: str) -> Mapping[str, str]:
    """Return the version of each package of a lock."""
    return {
        canonicalize_name(name): version for name, version in re.findall(r"^(\S+?)==(\S+)", text(lock), re.MULTILINE)
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_a_version_and_a_hash(lock: str) -> None:
    """The installed files are those that were checked when the lock file was made."""
    entries = re.split(r"\n(?=\S)", text(lock).strip())

    assert entries
    assert [] == [entry for entry in entries if not re.match(r"\S+==\S+(?: ; .+)? \\\n\s+--hash=sha256:\w", entry)]


@pytest.mark.parametrize("lock", LOCKS)
def test_no_package_source_is_named(lock: str) -> None:
    """Every other machine would try to use the index or folder of this one."""
    assert not re.search(r"://|^\s*--(?!hash=)|file:| @ ", text(lock), re.MULTILINE)


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        (RUNTIME, PROJECT["project"]["dependencies"]),
        (DEV, PROJECT["project"]["dependencies"]),
        (DEV, PROJECT["dependency-groups"]["dev"]),
        (DEV, PROJECT["build-system"]["requires"]),
        (RELEASE, PROJECT["dependency-groups"]["release"]),
    ],
    ids=[
        "what the operator needs",
        "the operator, for developers",
        "the tools",
        "what builds the package",
        "what describes the image",
    ],
)
def test_every_requirement_of_the_project_is_locked(lock: str, wanted: list[str]) -> None:
    """`make lock` corrects a failure."""
    locked = pins(lock)
    requirements = [Requirement(line) for line in wanted]

    unmet = [
        str(one)
        for one in requirements
        if not one.specifier.contains(locked.get(canonicalize_name(one.name), "0"), prereleases=False)
        or canonicalize_name(one.name) not in locked
    ]

    assert [] == unmet


def test_developers_run_the_versions_that_are_shipped() -> None:
    """The tests then apply to the versions in the image."""
    assert pins(RUNTIME).items() <= pins(DEV).items()


def test_the_base_image_is_pinned_by_digest() -> None:
    """A tag may name another image tomorrow."""
    dockerfile = (ROOT / "Dockerfile").read_text()

    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", dockerfile, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${BASE}", "python"}
