"""Builds the operator's image from the Dockerfile, and its base image with mmdebstrap, without an image registry.

Both are kept in the cache folder, so that a second build takes seconds. Nothing here runs an image.
"""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from testbed import binaries
from testbed.progress import say

ROOT: Final = Path(__file__).parents[3]
DEBIAN: Final = "localhost/debian:12-slim"
IMAGE: Final = "localhost/pipedrive-operator:test"
_SUITE: Final = "bookworm"
_UNUSED: Final = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
_CA_FILE: Final = "/run/secrets/ca.crt"


class ImageError(Exception):
    """An image could not be built; the text is the last output of the program."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """The operator's image: the archive that containerd imports, and its sizes in bytes."""

    archive: Path
    compressed: int
    unpacked: int


def folder() -> Path:
    """Return the folder of the images."""
    return binaries.cache_folder().parent / "images"


def last_built() -> Built:
    """Return the most recently built image of the operator."""
    archive, compressed = _archives()
    return Built(archive=archive, compressed=compressed.stat().st_size, unpacked=archive.stat().st_size)


def version() -> str:
    """Return the operator's version, which is also a label of the image."""
    text = (ROOT / "operator/pipedrive_operator/__init__.py").read_text()
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert found is not None
    return found[1]


def debian() -> Path:
    """Return the archive of a small Debian, after building it if it is missing (20 s). Raises ImageError."""
    archive = folder() / f"{_SUITE}.tar"
    if not archive.exists():
        say(f"testbed: mmdebstrap makes a small Debian ({_SUITE}) as the image's base; 20 s, this first time only")
        archive.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=archive.parent) as unfinished:
            root, image = Path(unfinished) / "root.tar", Path(unfinished) / "image.tar"
            excluded = (f"--dpkgopt=path-exclude={path}" for path in _UNUSED)
            _run(["mmdebstrap", "--quiet", "--variant=minbase", *excluded, _SUITE, str(root)])
            _write_archive(root, image, tag=DEBIAN)
            image.rename(archive)
    return archive


def operator() -> Built:
    """Build the changed layers of the operator's image (40 s the first time). Raises ImageError."""
    say("testbed: buildah builds the operator's image; 40 s the first time, then as far as something has changed")
    base = debian()
    archive, compressed = _archives()
    with TemporaryDirectory(dir=folder()) as unfinished:
        arguments = (f"--build-arg=BASE=docker-archive:{base}", f"--build-arg=VERSION={version()}")
        secrets = _secrets(Path(unfinished))
        _buildah("bud", "--isolation=chroot", "--layers", *arguments, *secrets, f"--tag={IMAGE}", str(ROOT))
        new, new_compressed = Path(unfinished) / "image.tar", Path(unfinished) / "compressed.tar"
        _buildah("push", "--quiet", IMAGE, f"docker-archive:{new}:{IMAGE}")
        _buildah("push", "--quiet", IMAGE, f"oci-archive:{new_compressed}")
        new.rename(archive)
        new_compressed.rename(compressed)
    return last_built()


def inspected(archive: Path) -> dict[str, Any]:
    """Return the configuration of an archived image: user, command, labels."""
    with tarfile.open(archive) as tar:
        (manifest,) = json.loads(_member(tar, "manifest.json"))
        found: dict[str, Any] = json.loads(_member(tar, manifest["Config"]))["config"]
        return found


def paths(archive: Path) -> set[str]:
    """Return the contents of an archived image."""
    found: set[str] = set()
    with tarfile.open(archive) as tar:
        (manifest,) = json.loads(_member(tar, "manifest.json"))
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=tar.extractfile(layer)) as files:
                found |= {f"/{member.name.removeprefix('./')}" for member in files}
    return found


def _archives() -> tuple[Path, Path]:
    return folder() / "pipedrive-operator.tar", folder() / "pipedrive-operator.oci.tar"


def _secrets(unfinished: Path) -> list[str]:
    """Pass this machine's package index settings to pip as build secrets, which are stored in no layer."""
    listed = subprocess.run(
        (sys.executable, "-m", "pip", "config", "list"), capture_output=True, text=True, check=True
    ).stdout
    lines = (line.partition("=") for line in listed.splitlines())
    options = {name.rpartition(".")[2]: value.strip("'") for name, _, value in lines}
    wanted: dict[str, str] = {
        name: options[name] for name in ("index-url", "extra-index-url", "proxy") if name in options
    }
    authority = options.get("cert") or os.environ.get("SSL_CERT_FILE")
    secrets = []
    if authority:
        wanted["cert"] = _CA_FILE
        secrets = [f"--secret=id=ca.crt,src={authority}"]
    configuration = unfinished / "pip.conf"
    configuration.write_text("\n".join(["[global]", *(f"{name} = {value}" for name, value in wanted.items()), ""]))
    return [f"--secret=id=pip.conf,src={configuration}", *secrets]


def _write_archive(root: Path, archive: Path, *, tag: str) -> None:
    """Create an image with one layer: https://github.com/moby/docker-image-spec/blob/main/v1.2.md."""
    with root.open("rb") as layer:
        digest = hashlib.file_digest(layer, "sha256").hexdigest()
    described = {
        "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
        "os": "linux",
        "config": {"Cmd": ["/bin/sleep", "infinity"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "mmdebstrap"}],
    }
    config = json.dumps(described).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [tag], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(archive, "w") as tar:
        tar.add(root, "layer.tar")
        for file, content in ((name, config), ("manifest.json", manifest)):
            member = tarfile.TarInfo(file)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None
    return file.read()


def _buildah(*arguments: str) -> None:
    store = folder() / "buildah"
    _run(["buildah", f"--root={store}", f"--runroot={store}-run", *arguments])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        last = "\n".join(done.stdout.splitlines()[-30:])
        message = f"{command[0]} failed:\n{last}"
        raise ImageError(message)
