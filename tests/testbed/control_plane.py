"""Starts a real Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager.

Tests and the demo use it. It must not know the project's own resources.
"""

import http.client
import ssl
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self
from urllib.parse import quote

from testbed import api_audit_log, binaries, components
from testbed.api_audit_log import ApiRequest
from testbed.api_client import ApiClient
from testbed.certificates import KeyPair
from testbed.components import CONTROLLERS
from testbed.kubectl import Kubectl, write_kubeconfig
from testbed.processes import ChildProcess, free_port

_START_SECONDS = 60.0


class ControlPlane:
    """A control plane that runs during a `with` block; `kubeconfig` is the administrator's."""

    def __init__(
        self, *, controllers: Iterable[str] = CONTROLLERS, fsync: bool = False, folder: Path | None = None
    ) -> None:
        """Describe the control plane. Without `controllers` it has no kube-controller-manager, and starts faster.

        Only runs with `fsync` say anything about durability or speed.
        It writes all its files to `folder`, which is kept, or to a temporary folder, which is deleted.
        """
        self._controllers = tuple(controllers)
        self._fsync = fsync
        self._folder = folder
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start everything and wait until it is ready (4 s). Raises ProcessError and BuildError."""
        with ExitStack() as stack:
            self._prepare(self._folder or Path(stack.enter_context(TemporaryDirectory(prefix="testbed-"))))
            stack.callback(self._end)
            self._start_etcd()
            self.start_apiserver()
            self._start_controller_manager()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self._stack.close()

    def start_apiserver(self) -> None:
        """Start the API server at its previous address, and wait until it is ready. Raises ProcessError."""
        self._apiserver.start()
        self.wait_ready()

    def stop_apiserver(self) -> None:
        """Kill the API server; its data stays in etcd."""
        # On SIGTERM it waits up to a minute for its watches. SIGKILL is faster, and the harder case for a client.
        self._apiserver.kill()

    def restart_apiserver(self) -> None:
        """Kill the API server and start it again, which breaks every watch. Raises ProcessError."""
        self.stop_apiserver()
        self.start_apiserver()

    def wait_ready(self, *, timeout: float = _START_SECONDS) -> None:
        """Wait until the API server reports that it is ready. Raises ProcessError after `timeout` seconds."""
        self._apiserver.wait_ready(self._is_ready, timeout=timeout)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as administrator and return its stdout. Raises KubectlError."""
        return self._kubectl(*arguments, stdin=stdin)

    def kubectl_as(self, kubeconfig: Path) -> Kubectl:
        """Return a kubectl that acts as the user of another kubeconfig."""
        return Kubectl(self._programs["kubectl"], kubeconfig)

    def kubeconfig_for(self, user: str, groups: Iterable[str] = (), *, server: str | None = None) -> Path:
        """Write a kubeconfig with a client certificate for `user`, who has only the permissions that RBAC grants.

        A service account is the user `system:serviceaccount:NAMESPACE:NAME`. `server` replaces the address of the
        API server, for example with that of a link.
        """
        path, _ = self._issue(user, groups, server=server)
        return path

    def client(self) -> ApiClient:
        """Return a client that acts as administrator."""
        return ApiClient(port=self.port, ca=self.ca, client=self._administrator)

    def serving_certificate(self, name: str, hosts: Iterable[str]) -> KeyPair:
        """Issue a certificate from the cluster's authority for another server, such as a kubelet."""
        return self._credentials.authority.serving(name, hosts)

    def requests(self, user: str) -> list[ApiRequest]:
        """Return a user's requests to the API server, in the order of the responses."""
        return api_audit_log.read_requests(self._audit_log, user)

    def service_account_token(self, namespace: str, name: str, *, audience: str | None = None) -> str:
        """Request a token of an existing service account, valid for an hour. Raises KubectlError."""
        audiences = [] if audience is None else [f"--audience={audience}"]
        return self.kubectl("create", "token", name, f"--namespace={namespace}", *audiences).strip()

    def _prepare(self, folder: Path) -> None:
        self.folder = folder
        manager = ["kube-controller-manager"] if self._controllers else []
        self._programs = binaries.ensure("etcd", "kube-apiserver", "kubectl", *manager)
        self._credentials = components.Credentials.issue(folder / "pki")
        self.ca = self._credentials.authority.certificate
        self.service_account_key = self._credentials.service_accounts.public
        self._audit_log = folder / "audit.log"
        self.port = free_port()
        self.server = f"https://127.0.0.1:{self.port}"
        self.kubeconfig, self._administrator = self._issue("testbed-admin", ["system:masters"])
        self._kubectl = self.kubectl_as(self.kubeconfig)
        self._describe_processes((free_port(), free_port()))

    def _issue(self, user: str, groups: Iterable[str], *, server: str | None = None) -> tuple[Path, KeyPair]:
        name = quote(",".join([user, *groups]), safe="")
        client = self._credentials.authority.client(name, user=user, groups=groups)
        path = self.folder / f"{name}.kubeconfig"
        write_kubeconfig(path, server=server or self.server, authority=self.ca, client=client)
        return path, client

    def _describe_processes(self, etcd_ports: tuple[int, int]) -> None:
        programs, credentials = self._programs, self._credentials
        etcd = components.etcd(programs["etcd"], data=self.folder / "etcd", ports=etcd_ports, fsync=self._fsync)
        apiserver = components.kube_apiserver(
            programs["kube-apiserver"],
            credentials,
            port=self.port,
            etcd_port=etcd_ports[0],
            audit_log=self._audit_log,
        )
        self._etcd_port = etcd_ports[0]
        self._etcd = ChildProcess(etcd, log=self.folder / "etcd.log")
        self._apiserver = ChildProcess(apiserver, log=self.folder / "kube-apiserver.log")
        self._controller_manager: ChildProcess | None = None

    def _start_etcd(self) -> None:
        self._etcd.start()
        connection = http.client.HTTPConnection("127.0.0.1", self._etcd_port, timeout=1)
        self._etcd.wait_ready(lambda: _answers(connection, "/readyz"), timeout=_START_SECONDS)

    def _start_controller_manager(self) -> None:
        if not self._controllers:
            return
        command = components.kube_controller_manager(
            self._programs["kube-controller-manager"],
            self._credentials,
            kubeconfig=self.kubeconfig_for("system:kube-controller-manager"),
            controllers=self._controllers,
        )
        self._controller_manager = ChildProcess(command, log=self.folder / "kube-controller-manager.log")
        self._controller_manager.start()
        self._controller_manager.wait_ready(self._has_default_service_account, timeout=_START_SECONDS)

    def _is_ready(self) -> bool:
        return _answers(self._connection(), "/readyz")

    def _has_default_service_account(self) -> bool:
        return _answers(self._connection(), "/api/v1/namespaces/default/serviceaccounts/default")

    def _connection(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self._administrator.public, self._administrator.key)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=1, context=context)

    def _end(self) -> None:
        for process in (self._controller_manager, self._apiserver, self._etcd):
            if process is not None:
                process.kill()


def _answers(connection: http.client.HTTPConnection, path: str) -> bool:
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
