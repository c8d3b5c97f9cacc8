"""The pure parts of the plugin: ages, who uses a Secret, and the one-file build."""

import os
import resource
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from distribution import kubectl_plugin
from kubectl_pipedrive.consumers import RESTART, SUBPATH, uses
from kubectl_pipedrive.moments import ago, ahead, length
from kubectl_pipedrive.registry import every_command
from support.plugin_world import NOW

STARTS = 16
"""How many starts of Python alone take as long as one of the plugin may."""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (41 * 60 + 59, "41m"),
        (3600, "1h"),
        (12_000, "3h20m"),
        (43_200, "12h"),
        (90_000, "1d1h"),
        (1_036_800, "12d"),
    ],
)
def test_a_length_of_time_is_short_and_exact_enough(seconds: int, words: str) -> None:
    """It is written as kubectl writes ages."""
    assert words == length(timedelta(seconds=seconds))


def test_a_time_is_relative_to_the_present() -> None:
    """It may be in the past, in the future, or unknown."""
    assert ("in 41m", "5m ago", "-") == (
        ahead(NOW + timedelta(minutes=41), NOW),
        ahead(NOW - timedelta(minutes=5), NOW),
        ahead(None, NOW),
    )
    assert ("5m ago", "-") == (ago(NOW - timedelta(minutes=5), NOW), ago(None, NOW))


@pytest.mark.parametrize(
    ("spec", "how", "caveat"),
    [
        (
            {
                "volumes": [{"name": "v", "secret": {"secretName": "s"}}],
                "containers": [{"volumeMounts": [{"name": "v", "mountPath": "/x", "subPath": "token"}]}],
            },
            "mounted at /x",
            SUBPATH,
        ),
        (
            {
                "volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}],
                "initContainers": [{"volumeMounts": [{"name": "v", "mountPath": "/x"}]}],
            },
            "mounted at /x",
            None,
        ),
        ({"containers": [{"envFrom": [{"secretRef": {"name": "s"}}]}]}, "environment variables, all keys", RESTART),
    ],
    ids=["subPath", "projected", "envFrom"],
)
def test_each_way_to_use_a_secret_is_found(spec: dict[str, object], how: str, caveat: str | None) -> None:
    """It is reported with what keeps the pod from seeing new values."""
    pods = [{"metadata": {"name": "p"}, "spec": spec, "status": {"phase": "Running"}}]

    assert [(how, caveat)] == [(use.how, use.caveat) for use in uses(pods, "s")]
    assert [] == uses(pods, "t")
    assert [] == uses([{**pods[0], "status": {"phase": "Succeeded"}}], "s")


def test_a_pod_that_waits_for_the_secret_is_found() -> None:
    """The message of the kubelet is shown."""
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "s" not found'}
    pod = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}]},
        "status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": waiting}}]},
    }

    assert ['Pod p: environment variable T (not started: secret "s" not found)'] == [
        str(one) for one in uses([pod], "s")
    ]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the plugin."""
    folder = tmp_path_factory.mktemp("dist")
    kubectl_plugin.build(folder, version="1.2.3", url="https://example.com/releases/plugin.tar.gz")
    return folder


def test_the_one_file_needs_only_python(built: Path) -> None:
    """No installed package, no environment: every command explains itself."""
    for command in every_command():
        program = (sys.executable, "-I", "-S", f"{built}/kubectl-pipedrive", *command.words, "--help")
        done = subprocess.run(program, env={"PATH": os.defpath}, capture_output=True, text=True, check=True)
        assert command.summary in done.stdout


def test_the_one_file_contains_the_plugin_and_pure_facts_alone(built: Path) -> None:
    """The rest of the operator stays out."""
    with zipfile.ZipFile(built / "kubectl-pipedrive") as archive:
        names = archive.namelist()

    theirs = {name for name in names if name.startswith("pipedrive_operator/")}
    assert "pipedrive_operator/core/values/conditions.py" in theirs
    assert len(theirs) < 12
    assert "kubectl_pipedrive/commands/status.py" in names


def test_an_older_python_is_refused_before_anything_is_imported(built: Path) -> None:
    """The first file uses no syntax that it would not know."""
    with zipfile.ZipFile(built / "kubectl-pipedrive") as archive:
        main = archive.read("__main__.py").decode()

    compile(main, "__main__.py", "exec")
    assert main.index("version_info < (3, 11)") < main.index("from kubectl_pipedrive")
    assert 'f"' not in main


def test_the_same_sources_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    """Anyone can then check the digest in the manifest."""
    kubectl_plugin.build(tmp_path, version="1.2.3", url="https://example.com/releases/plugin.tar.gz")

    assert {one.name: one.read_bytes() for one in built.iterdir()} == {
        one.name: one.read_bytes() for one in tmp_path.iterdir()
    }


def test_the_manifest_for_krew_names_the_archive(built: Path) -> None:
    """It also has the digest of the archive and the files to install."""
    manifest = yaml.safe_load((built / "pipedrive.yaml").read_text())

    (platform,) = manifest["spec"]["platforms"]
    digest = subprocess.run(
        ("sha256sum", built / "kubectl-pipedrive.tar.gz"), capture_output=True, text=True, check=True
    ).stdout.split()[0]
    assert (digest, "kubectl-pipedrive") == (platform["sha256"], platform["bin"])
    assert ("v1.2.3", "pipedrive") == (manifest["spec"]["version"], manifest["metadata"]["name"])


@pytest.mark.parametrize(
    "arguments",
    [("explain", "Pending"), ("connect", "--help"), ("__complete", "sta"), ("--help",)],
    ids=["a command", "its help", "completion", "the list of commands"],
)
def test_it_starts_quickly(built: Path, arguments: tuple[str, ...]) -> None:
    """Completion starts it at each key. Python alone takes 12 ms on an idle machine, and the plugin less than 0.2 s.

    Python alone is the measure, because a busy or slow machine changes both in the same way. The shortest of several
    starts counts, because a busy one also takes more processor time.
    """
    program = str(built / "kubectl-pipedrive")
    bare, seconds = [_processor_seconds("-c", "pass")], [_processor_seconds(program, *arguments)]
    while min(seconds) >= STARTS * min(bare) and len(seconds) < 25:
        bare.append(_processor_seconds("-c", "pass"))
        seconds.append(_processor_seconds(program, *arguments))

    assert min(seconds) < STARTS * min(bare)


def _processor_seconds(*arguments: str) -> float:
    """Return the processor time of one start of Python, which other processes on the machine do not add to."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run((sys.executable, "-I", *arguments), capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
