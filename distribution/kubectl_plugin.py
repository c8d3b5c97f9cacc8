"""Builds the kubectl plugin as one file, with its completion script, an archive, and a manifest for krew.

The file is a zip archive that Python runs (https://docs.python.org/3/library/zipapp.html). It contains the plugin and
the few modules of the operator that the plugin imports. The same sources give the same bytes.
"""

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

import click
import yaml

from pipedrive_operator import __version__

ROOT: Final = Path(__file__).parents[1]
SOURCES: Final = ROOT / "operator"
NAME: Final = "kubectl-pipedrive"
COMPLETION: Final = "kubectl_complete-pipedrive"
KREW: Final = "pipedrive.yaml"
_SHEBANG: Final = b"#!/usr/bin/env python3\n"
_MAIN: Final = '''\
"""Starts the plugin. Python 2 and 3.0 can read this file too, so that an older Python reports what is wrong."""

import sys

if sys.version_info < (3, 11):
    sys.exit("kubectl pipedrive needs Python 3.11 or later, and this is Python %d.%d" % sys.version_info[:2])
from kubectl_pipedrive.program import main

main()
'''
_COMPLETION: Final = """\
#!/bin/sh
# kubectl runs this file for the completion of `kubectl pipedrive`. It must be on the PATH beside kubectl-pipedrive.
exec kubectl-pipedrive __complete "$@"
"""
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can hold."""
_IMPORTED: Final = """
import sys
sys.path.insert(0, sys.argv[1])
import kubectl_pipedrive.program, kubectl_pipedrive.registry
kubectl_pipedrive.registry.every_command()
print(*(module.__file__ for name, module in sys.modules.items() if name.startswith("pipedrive_operator")), sep="\\n")
"""


def modules() -> list[Path]:
    """Return the files of the plugin and of what it imports of the operator, relative to the sources."""
    command = (sys.executable, "-I", "-S", "-c", _IMPORTED, str(SOURCES))
    imported = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    own = (SOURCES / "kubectl_pipedrive").rglob("*.py")
    return sorted(path.relative_to(SOURCES) for path in (*own, *map(Path, imported)))


def application() -> bytes:
    """Return the plugin as one executable file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        files = {str(path): (SOURCES / path).read_bytes() for path in modules()}
        for name, content in {"__main__.py": _MAIN.encode(), **files}.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return _SHEBANG + buffer.getvalue()


def archive(files: dict[str, bytes]) -> bytes:
    """Return a compressed tar archive of executable files, the same bytes each time."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)


def krew_manifest(packed: bytes, *, version: str, url: str) -> str:
    """Return the manifest for krew (https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/)."""
    manifest = {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "pipedrive"},
        "spec": {
            "version": f"v{version}",
            "homepage": url.rsplit("/", 1)[0],
            "shortDescription": "Show and refresh Pipedrive credentials",
            "description": (
                "Answers three questions about the PipedriveCredentials of the Pipedrive credential operator: is a "
                "credential well, why not, and what to do next. It shows no secret value.\n"
            ),
            "caveats": (
                "Needs Python 3.11 or later as python3 on the PATH. krew does not install completion scripts: to "
                f"complete names, copy {COMPLETION} from the archive to a folder on your PATH.\n"
            ),
            "platforms": [
                {
                    "selector": {"matchExpressions": [{"key": "os", "operator": "In", "values": ["linux", "darwin"]}]},
                    "uri": url,
                    "sha256": hashlib.sha256(packed).hexdigest(),
                    "bin": NAME,
                    "files": [{"from": NAME, "to": "."}, {"from": "LICENSE", "to": "."}],
                }
            ],
        },
    }
    return yaml.safe_dump(manifest, sort_keys=False, width=100)


def build(folder: Path, *, version: str, url: str) -> None:
    """Write all files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    programs = {NAME: application(), COMPLETION: _COMPLETION.encode()}
    for name, content in programs.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o755)
    packed = archive({**programs, "LICENSE": (ROOT / "LICENSE").read_bytes()})
    (folder / f"{NAME}.tar.gz").write_bytes(packed)
    (folder / KREW).write_text(krew_manifest(packed, version=version, url=url))


@click.command()
@click.option("--output", type=click.Path(path_type=Path), default=ROOT / "dist", help="The folder to write to.")
@click.option("--url", default=f"https://example.com/{NAME}.tar.gz", help="Where the archive will be downloaded from.")
def main(output: Path, url: str) -> None:
    """Build the kubectl plugin."""
    build(output, version=__version__, url=url)
    click.echo(
        f"Built {output / NAME}. Copy it and {COMPLETION} to a folder on your PATH, then: kubectl pipedrive --help\n"
        f"For krew: kubectl krew install --manifest={output / KREW} --archive={output / NAME}.tar.gz"
    )


if __name__ == "__main__":
    main()
