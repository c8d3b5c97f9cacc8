"""The command lines of etcd, kube-apiserver and kube-controller-manager. Nothing here starts them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from testbed.certificates import Authority, KeyPair, signing_key

# Starting all controllers takes 5 s longer; `ControlPlane(controllers=("*",))` does so for tests that run pods.
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
)
AUDIT_POLICY = Path(__file__).with_name("audit-policy.yaml")
_API_SERVER_HOSTS = ("127.0.0.1", "10.0.0.1", "localhost", "kubernetes.default.svc")


@dataclass(frozen=True)
class Credentials:
    """The certificate authority of one control plane, and the certificates and keys of its servers."""

    authority: Authority
    serving: KeyPair
    service_accounts: KeyPair
    kubelet_client: KeyPair

    @classmethod
    def issue(cls, folder: Path) -> "Credentials":
        """Create new credentials in `folder`."""
        authority = Authority(folder)
        serving = authority.serving("kube-apiserver", _API_SERVER_HOSTS)
        kubelet_client = authority.client("kubelet-client", user="kube-apiserver", groups=["system:masters"])
        return cls(authority, serving, signing_key(folder, "service-accounts"), kubelet_client)


def etcd(program: Path, *, data: Path, ports: tuple[int, int], fsync: bool) -> list[str]:
    """Build etcd's command line; `ports` are the client port and the peer port."""
    client, peer = (f"http://127.0.0.1:{port}" for port in ports)
    return [
        str(program),
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
        # etcd, unlike other Go programs, disables SO_REUSEADDR by default, and free_port() relies on it.
        "--socket-reuse-address",
        f"--unsafe-no-fsync={str(not fsync).lower()}",
    ]


def kube_apiserver(program: Path, credentials: Credentials, *, port: int, etcd_port: int, audit_log: Path) -> list[str]:
    """Build kube-apiserver's command line, with RBAC as in a real cluster, and an audit log of every request."""
    return [
        str(program),
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--tls-cert-file={credentials.serving.public}",
        f"--tls-private-key-file={credentials.serving.key}",
        f"--client-ca-file={credentials.authority.certificate}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={credentials.service_accounts.public}",
        f"--service-account-signing-key-file={credentials.service_accounts.key}",
        "--service-cluster-ip-range=10.0.0.0/24",
        f"--kubelet-certificate-authority={credentials.authority.certificate}",
        f"--kubelet-client-certificate={credentials.kubelet_client.public}",
        f"--kubelet-client-key={credentials.kubelet_client.key}",
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        f"--audit-policy-file={AUDIT_POLICY}",
        f"--audit-log-path={audit_log}",
    ]


def kube_controller_manager(
    program: Path, credentials: Credentials, *, kubeconfig: Path, controllers: Iterable[str]
) -> list[str]:
    """Build kube-controller-manager's command line."""
    return [
        str(program),
        f"--kubeconfig={kubeconfig}",
        f"--controllers={','.join(controllers)}",
        f"--service-account-private-key-file={credentials.service_accounts.key}",
        f"--root-ca-file={credentials.authority.certificate}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--secure-port=0",
    ]
