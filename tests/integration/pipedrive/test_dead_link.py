"""A refresh that was given up never arrives later: the kernel discards what it could not send."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMESPACE = ["unshare", "--net"]


def _has_namespaces() -> bool:
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _has_namespaces(), reason="needs root, unshare and ip for a network namespace")
@pytest.mark.parametrize("options", [[], ["--kill"]], ids=["given up", "killed"])
def test_a_request_that_a_dead_link_held_back_does_not_arrive_after_its_sender_has_gone(options: list[str]) -> None:
    """By default the kernel goes on sending after the close, and the next attempt would not be the only one."""
    command = [*NAMESPACE, sys.executable, "-m", "integration.pipedrive.dead_link", *options]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "0\n"
