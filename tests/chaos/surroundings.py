"""Starts what the operators need: a real API server on etcd, an OpenBao with durable storage, and the simulator.

The operators and their network links to these parts are in `cell`. Nothing is judged here.
"""

import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from testbed import probe
from testbed.control_plane import ControlPlane
from testbed.link import Links
from testbed.openbao import OpenBao
from testbed.pipedrive.client import ControlClient
from testbed.processes import ChildProcess, free_port

Json = dict[str, Any]
ROOT: Final = Path(__file__).parents[2]
CRDS: Final = tuple(ROOT / "crds" / f"{name}.yaml" for name in ("pipedrivecredentials", "pipedriveconsents"))
CLIENT_ID: Final = "crm-sync"
CLIENT_SECRET: Final = "chaos-client-secret"
APP_PATH: Final = "apps/crm-sync"
REDIRECT_URI: Final = "https://intranet.example.com/done"
"""Nothing listens there: a person copies the code from the address."""
SCOPES: Final = ["base", "deals:full"]
_START_SECONDS: Final = 30.0
_MOST_VERSIONS: Final = 100_000


@dataclass(kw_only=True)
class Environment:
    """Everything that the operators of a run share."""

    folder: Path
    cluster: ControlPlane
    openbao: OpenBao
    pipedrive: ControlClient
    links: Links
    companies: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def pipedrive_port(self) -> int:
        """The port of the simulator."""
        return int(self.pipedrive.url.rpartition(":")[2])


@contextmanager
def set_up(folder: Path, *, expires_in: int, cluster: ControlPlane | None = None) -> Iterator[Environment]:
    """Run everything for the duration of the block. Access tokens live `expires_in` seconds; refresh tokens work once.

    Raises:
        ProcessError, BuildError, KubectlError: a part does not start.
    """
    with ExitStack() as stack:
        if cluster is None:
            # Without controllers only the operators write to the API server.
            cluster = stack.enter_context(ControlPlane(controllers=(), folder=folder / "cluster"))
        openbao = stack.enter_context(OpenBao(durable=True, folder=_made(folder / "openbao")))
        pipedrive = stack.enter_context(_pipedrive(folder, expires_in))
        links = stack.enter_context(Links())
        define(cluster)
        # Keep every version, so that the evidence covers everything that Vault ever held.
        openbao.request("POST", "secret/config", json={"max_versions": _MOST_VERSIONS})
        openbao.write_secret(APP_PATH, {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})
        yield Environment(folder=folder, cluster=cluster, openbao=openbao, pipedrive=pipedrive, links=links)


def define(cluster: ControlPlane) -> None:
    """Apply the CRDs."""
    files = [f"--filename={crd}" for crd in CRDS]
    cluster.kubectl("apply", "--server-side", "--force-conflicts", *files)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=50s", *files)


@contextmanager
def _pipedrive(folder: Path, expires_in: int) -> Iterator[ControlClient]:
    port = free_port()
    seed = folder / "pipedrive.json"
    app = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "scopes": SCOPES}
    seed.write_text(json.dumps({"apps": [{**app, "redirect_uri": REDIRECT_URI}]}))
    options = [f"--port={port}", f"--seed-file={seed}", "--rotate=always", f"--expires-in={expires_in}"]
    process = ChildProcess([sys.executable, "-m", "testbed.pipedrive", *options], log=folder / "pipedrive.log")
    try:
        process.start()
        process.wait_ready(lambda: probe.is_ok(port, "/_simulator/health"), timeout=_START_SECONDS)
        yield ControlClient(f"http://127.0.0.1:{port}")
    finally:
        process.stop()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
