"""The demo on real parts: its tour succeeds, and it leaves nothing behind, even in the user's own cluster."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.tenant import eventually
from testbed import binaries
from testbed.control_plane import ControlPlane
from testbed.demo.demo_cluster import NAMESPACE, PLURALS, definitions, mine, namespace

_SECONDS = 200
_DEMO = (sys.executable, "-m", "testbed.demo", "--once")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Return the folder in which the demo creates its own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def environment(temporary: Path, **variables: str) -> Mapping[str, str]:
    """Return the environment of this process without a cluster."""
    inherited = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    return {**inherited, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1", **variables}


def demo(temporary: Path, *options: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the demo to its end."""
    return subprocess.run(
        [*_DEMO, *options],
        env=environment(temporary, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def names(control_plane: ControlPlane, kind: str) -> set[str]:
    """Return the names of all cluster-wide objects of a kind."""
    return set(control_plane.kubectl("get", kind, "--output=name").split())


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    """Provide a folder like that of setup-envtest: it has three programs, and no kube-controller-manager."""
    folder = tmp_path / "assets"
    folder.mkdir()
    for name, program in binaries.ensure("etcd", "kube-apiserver", "kubectl").items():
        (folder / name).symlink_to(program)
    return folder


def test_the_tour_succeeds_builds_nothing_and_leaves_nothing_behind(
    temporary: Path, tmp_path: Path, assets: Path
) -> None:
    """Each step is reported, the exit code is 0, no file remains, and the cache of built programs is not used."""
    cache = tmp_path / "cache"
    ended = demo(temporary, KUBEBUILDER_ASSETS=str(assets), XDG_CACHE_HOME=str(cache))

    assert ended.returncode == 0, ended.stdout
    assert not (cache / "pipedrive-operator").exists()
    for step in ("publish", "connect", "refresh", "repair", "revoke", "recover"):
        assert f" {step}: " in ended.stdout
    assert [] == list(temporary.iterdir())


def test_an_interrupted_demo_leaves_nothing_behind(temporary: Path) -> None:
    """Its programs run in sessions of their own, so that Ctrl-C reaches the demo alone."""
    with subprocess.Popen(_DEMO, env=environment(temporary), stdout=subprocess.PIPE, text=True) as process:
        next(line for line in process.stdout or () if "... publish" in line)
        started = children(process.pid)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=_SECONDS)

    assert process.returncode == 130
    assert len(started) >= 6
    # A kubectl that was interrupted is killed; on a busy machine init collects it a moment after the demo has ended.
    eventually(lambda: not [pid for pid in started if Path(f"/proc/{pid}").exists()], within=10)
    assert [] == list(temporary.iterdir())


def test_the_users_own_cluster_is_left_as_it_was(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo deletes its namespace, and the CRDs that it created."""
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig))
    before = [names(control_plane, kind) for kind in ("namespaces", "customresourcedefinitions")]

    with mine(tmp_path) as cluster, definitions(cluster), namespace(cluster):
        assert f"namespace/{NAMESPACE}" in names(control_plane, "namespaces")
        for plural in PLURALS:
            control_plane.kubectl("get", "customresourcedefinition", f"{plural}.pipedrive-operator.io")

    assert before == [names(control_plane, kind) for kind in ("namespaces", "customresourcedefinitions")]


def test_an_existing_namespace_is_refused_and_kept(control_plane: ControlPlane, temporary: Path) -> None:
    """It may contain anything."""
    control_plane.kubectl("create", "namespace", NAMESPACE)
    try:
        ended = demo(temporary, "--cluster", "mine", KUBECONFIG=str(control_plane.kubeconfig))

        assert ended.returncode == 2
        assert f"already has a namespace {NAMESPACE}" in ended.stdout
        assert f"namespace/{NAMESPACE}" in names(control_plane, "namespaces")
    finally:
        control_plane.kubectl("delete", "namespace", NAMESPACE)


def test_the_users_own_cluster_must_be_named(temporary: Path) -> None:
    """The demo never uses a cluster by accident."""
    ended = demo(temporary, "--cluster", "mine")

    assert ended.returncode == 2
    assert "KUBECONFIG is not set" in ended.stdout


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that are still running."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]
