"""Runs kubectl against one API server as one user, and writes the kubeconfig files it reads."""

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed.certificates import KeyPair

_TIMEOUT_SECONDS = 60


class KubectlError(Exception):
    """A kubectl command failed; the text is what it wrote to stderr."""


@dataclass(frozen=True)
class Kubectl:
    """The kubectl program together with the kubeconfig it uses."""

    program: Path
    kubeconfig: Path

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run one command and return its stdout. Raises KubectlError."""
        result = subprocess.run(
            [self.program, *arguments],
            env=os.environ | {"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": f"{self.kubeconfig}.cache"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        if result.returncode != 0:
            raise KubectlError(result.stderr.strip())
        return result.stdout


def write_kubeconfig(path: Path, *, server: str, authority: Path, client: KeyPair) -> None:
    """Write a self-contained kubeconfig, which can be copied anywhere."""
    user = {"client-certificate-data": _encoded(client.public), "client-key-data": _encoded(client.key)}
    _write(path, cluster=cluster_entry(server, authority), user=user)


def write_token_kubeconfig(path: Path, *, cluster: Mapping[str, object], token: str) -> None:
    """Write a kubeconfig for the user of a token, such as a ServiceAccount; `cluster` is a kubeconfig's entry."""
    _write(path, cluster=cluster, user={"token": token})


def cluster_entry(server: str, authority: Path) -> dict[str, object]:
    """Return the description of a cluster in a kubeconfig."""
    return {"server": server, "certificate-authority-data": _encoded(authority)}


def _write(path: Path, *, cluster: Mapping[str, object], user: Mapping[str, str]) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "user"}}],
        "current-context": "testbed",
    }
    path.touch(mode=0o600)
    # JSON is YAML.
    path.write_text(json.dumps(config, indent=2))


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
