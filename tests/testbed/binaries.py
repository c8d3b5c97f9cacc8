"""Finds the programs that the testbed starts, or builds them from the pinned module in `go/`.

`python -m testbed.binaries` prepares what the tests need. Nothing here starts one of these programs.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from testbed.go_build import MODULE, TOOLS, BuildError, build
from testbed.progress import say

TESTS_NEED = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")


def ensure(*names: str) -> dict[str, Path]:
    """Return the path of each named program, after building missing ones (which takes minutes the first time).

    Searches the folder that `KUBEBUILDER_ASSETS` names, then the cache. Raises BuildError.
    """
    cache = cache_folder()
    found = _find(names, cache)
    if len(found) < len(names):
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache / "lock"):
            build([name for name in names if name not in _find(names, cache)], cache)
        found = _find(names, cache)
    return found


def cache_folder() -> Path:
    """Return the cache folder for programs built from the current go.mod and go.sum."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((MODULE / name).read_bytes())
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "pipedrive-operator" / "testbed" / digest.hexdigest()[:16]


def _find(names: Iterable[str], cache: Path) -> dict[str, Path]:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    later_wins = [cache, Path(assets)] if assets else [cache]
    candidates = ((name, folder / name) for name in names for folder in later_wins)
    return {name: path for name, path in candidates if os.access(path, os.X_OK)}


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("testbed: another process is building the same programs; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(sorted(TOOLS)), metavar="[NAME]...")
def main(names: tuple[str, ...]) -> None:
    """Prepare programs for the testbed and print where they are.

    Without a NAME: what the tests need (etcd, kube-apiserver, kube-controller-manager, kubectl). Searches
    the folder that KUBEBUILDER_ASSETS names, then the cache below XDG_CACHE_HOME, and builds the rest with Go.
    """
    try:
        programs = ensure(*(names or TESTS_NEED))
    except BuildError as error:
        raise click.ClickException(str(error)) from error
    for name, path in programs.items():
        click.echo(f"{name}\t{path}")


if __name__ == "__main__":
    main()
