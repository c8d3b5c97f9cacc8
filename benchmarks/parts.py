"""Starts the servers that the operator needs: an API server, OpenBao and the Pipedrive simulator."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.workload import TOKEN_KEY, VAULT_PREFIX, Batch, api_token, pipedrive_seed, vault_path
from testbed import probe
from testbed.control_plane import ControlPlane
from testbed.kubectl import cluster_entry, write_token_kubeconfig
from testbed.openbao import OpenBao
from testbed.processes import ChildProcess, free_port

ROOT: Final = Path(__file__).parents[1]
CRD: Final = ROOT / "crds" / "pipedrivecredentials.yaml"
RIGHTS: Final = ROOT / "tests" / "testbed" / "rights.yaml"
SERVICE_ACCOUNT: Final = "pipedrive-operator"
REQUESTS_PER_SECOND: Final = 10_000
"""The default (50) protects Pipedrive: 1,000 first verifications would take 20 s, however fast the operator is."""
WORKERS: Final = 20
"""The operator's default."""
_START_SECONDS: Final = 30.0
_POLICY: Final = f'path "secret/data/{VAULT_PREFIX}*" {{ capabilities = ["read"] }}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A ServiceAccount with the operator's permissions in a namespace of its own, and a Vault token."""

    namespace: str
    server: str
    port: int
    ca: Path
    token: str
    vault_token: str

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authenticate a request to the API server."""
        return {"Authorization": f"Bearer {self.token}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All running servers."""

    folder: Path
    control_plane: ControlPlane
    openbao: OpenBao
    pipedrive_url: str

    def account(self, namespace: str) -> Account:
        """Create a namespace, an account with permissions in it, and a Vault token with that name in the audit log."""
        kubectl = self.control_plane.kubectl
        kubectl("create", "namespace", namespace)
        kubectl("apply", f"--filename={RIGHTS}", f"--namespace={namespace}")
        server = self.control_plane.server
        return Account(
            namespace=namespace,
            server=server,
            port=int(server.rpartition(":")[2]),
            ca=self.control_plane.ca,
            token=self.control_plane.service_account_token(namespace, SERVICE_ACCOUNT),
            vault_token=self.openbao.create_token(["benchmark"], period="1h", display_name=namespace),
        )

    def settings(self, account: Account) -> Mapping[str, Any]:
        """Return the operator's settings for an account's namespace."""
        kubeconfig = self.folder / f"{account.namespace}.kubeconfig"
        write_token_kubeconfig(kubeconfig, cluster=cluster_entry(account.server, account.ca), token=account.token)
        vault_token = self.folder / f"{account.namespace}.vault-token"
        vault_token.touch(mode=0o600)
        vault_token.write_text(account.vault_token)
        connection = {
            "address": self.openbao.address,
            "auth": {"method": "token", "tokenFile": str(vault_token)},
            "pathPrefixes": [VAULT_PREFIX],
        }
        return {
            "kubernetes": {
                "kubeconfig": str(kubeconfig),
                "namespaces": [account.namespace],
                "operatorNamespace": account.namespace,
            },
            "vault": {"connections": {"default": connection}},
            "pipedrive": {"apiUrl": self.pipedrive_url, "requestsPerSecond": REQUESTS_PER_SECOND},
            "controller": {"workers": WORKERS},
            "leaderElection": {"enabled": False},
        }


@contextmanager
def running(folder: Path, *, size: int) -> Iterator[Parts]:
    """Run all servers within the block, with `size` API tokens. Raises ProcessError, BuildError, KubectlError."""
    with (
        # No controllers: only the operator and the benchmark write to the API server.
        ControlPlane(controllers=(), fsync=True, folder=folder / "cluster") as control_plane,
        OpenBao(folder=_made(folder / "openbao")) as openbao,
        _pipedrive(folder, size) as pipedrive_url,
    ):
        control_plane.kubectl("apply", "--server-side", f"--filename={CRD}")
        control_plane.kubectl("wait", "--for=condition=Established", "--timeout=50s", f"--filename={CRD}")
        openbao.put_policy("benchmark", _POLICY)
        for index in range(size):
            openbao.write_secret(vault_path(index), {TOKEN_KEY: api_token(index)})
        # The first request for the schemas of its resources takes the API server seconds.
        rehearsal = Batch(namespace="default", name="rehearsal", size=1)
        control_plane.kubectl("apply", "--dry-run=server", "--filename=-", stdin=rehearsal.manifest())
        yield Parts(folder=folder, control_plane=control_plane, openbao=openbao, pipedrive_url=pipedrive_url)


@contextmanager
def _pipedrive(folder: Path, size: int) -> Iterator[str]:
    port = free_port()
    seed = folder / "pipedrive.json"
    seed.write_text(json.dumps(pipedrive_seed(size)))
    command = [sys.executable, "-m", "testbed.pipedrive", f"--port={port}", f"--seed-file={seed}"]
    process = ChildProcess(command, log=folder / "pipedrive.log")
    try:
        process.start()
        process.wait_ready(lambda: probe.is_ok(port, "/_simulator/health"), timeout=_START_SECONDS)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
