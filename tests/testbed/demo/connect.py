"""How an account is connected in the demo: the consent front, the link, and the person who opens it in ONCE mode."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from testbed.demo.demo_cluster import NAMESPACE, Cluster
from testbed.front_process import FrontProcess
from testbed.kubectl import KubectlError, write_token_kubeconfig
from testbed.visitor import Visitor

RIGHTS: Final = Path(__file__).parent.with_name("rights-front.yaml")
_ACCOUNT: Final = "pipedrive-consent-front"
_SECONDS: Final = 60.0


def describe_front(
    folder: Path, cluster: Cluster, *, port: int, pipedrive: Mapping[str, Any], operator_port: int
) -> FrontProcess:
    """Describe the front, with a ServiceAccount that can read and answer consents of the demo's namespace."""
    cluster.kubectl("apply", f"--filename={RIGHTS}", f"--namespace={NAMESPACE}")
    token = cluster.kubectl("create", "token", _ACCOUNT, f"--namespace={NAMESPACE}", "--duration=24h").strip()
    kubeconfig = folder / "front.kubeconfig"
    write_token_kubeconfig(kubeconfig, cluster=cluster.connection(), token=token)
    settings = {
        "kubernetes": {"kubeconfig": str(kubeconfig), "clusterName": "demo"},
        "pipedrive": {name: pipedrive[name] for name in ("oauthUrl", "allowedApiDomains")},
        "consent": {
            "enabled": True,
            "publicUrl": public_url(port),
            "operatorUrl": f"http://127.0.0.1:{operator_port}",
        },
        "log": {"format": "console"},
    }
    return FrontProcess(settings, folder=folder, port=port)


def public_url(port: int) -> str:
    """Return the address of the front for browsers; on loopback, they accept its cookie over plain HTTP."""
    return f"http://127.0.0.1:{port}"


def create_link(cluster: Cluster, credential: str) -> str:
    """Create a link as a person does, with `kubectl pipedrive connect`. Raises KubectlError."""
    kubectl = cluster.kubectl
    path = f"{kubectl.program.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [sys.executable, "-m", "kubectl_pipedrive", "connect", credential, "--print", f"--namespace={NAMESPACE}"],
        env={**os.environ, "PATH": path, "KUBECONFIG": str(kubectl.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise KubectlError(done.stderr.strip())
    return done.stdout.strip()


def accept(link: str, *, company_id: int, user_id: int) -> str:
    """Open a link, press its button, and accept on Pipedrive's page; return the heading of the last page."""
    return Visitor().connect(link, user=f"{company_id}:{user_id}").heading
