"""The operator's image: small, for a user other than root, and without tools to install or compile software."""

import re

import pytest

from testbed.node import image

LARGEST = 200_000_000
UNWANTED = re.compile(
    r"/s?bin/(pip3?|gcc|cc|tcc|clang|make|ld|as)(-[^/]*)?$|/(ensurepip|(site|dist)-packages/pip)/|/pip\.conf$|/run/secrets/."
)


@pytest.fixture(scope="module")
def found() -> image.Built:
    """Return the image that was built before the tests."""
    return image.last_built()


def test_the_image_is_under_200_megabytes(found: image.Built) -> None:
    """The size counts compressed, as in a registry."""
    assert found.compressed < LARGEST


def test_the_image_names_its_user_by_number_and_describes_itself(found: image.Built) -> None:
    """The kubelet checks `runAsNonRoot` by the number."""
    config = image.inspected(found.archive)

    assert ("65532:65532", ["pipedrive-operator"]) == (config["User"], config["Entrypoint"])
    title, version = (config["Labels"][f"org.opencontainers.image.{name}"] for name in ("title", "version"))
    assert ("pipedrive-operator", image.version()) == (title, version)


def test_the_image_contains_nothing_to_install_or_compile_with(found: image.Built) -> None:
    """It does not contain the configuration of the package index of its build, either."""
    paths = image.paths(found.archive)

    assert any(path.endswith("/site-packages/pipedrive_operator/__main__.py") for path in paths)
    assert [] == sorted(path for path in paths if UNWANTED.search(path))


def test_the_dependencies_in_the_image_are_the_locked_ones(found: image.Built) -> None:
    """Their names and versions are the same, and there are no others."""
    lock = (image.ROOT / "requirements/runtime.txt").read_text()
    locked = dict(re.findall(r"^([a-z0-9.-]+)==([^ ]+)", lock, re.MULTILINE))
    installed = re.compile(r"/site-packages/([A-Za-z0-9_.]+)-([^/]+)\.dist-info/METADATA$")
    hits = filter(None, map(installed.search, image.paths(found.archive)))
    there = {hit[1].lower().replace("_", "-").replace(".", "-"): hit[2] for hit in hits}

    assert {name.replace(".", "-"): version for name, version in locked.items()} == there
