"""A release of the operator for some namespaces, with an operator namespace of its own.

When its namespaces change, it does what Helm and Kubernetes do: the Role in a namespace that has left is removed at
once, a new replica stands by, and only then is the old one asked to stop.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

from support.operated import Json
from support.tenant import eventually
from testbed.control_plane import ControlPlane
from testbed.operator_process import OperatorProcess

READS_CRD: Final = "pipedrive-operator-reads-crd"
"""The ClusterRole that a release for some namespaces has."""
_ROLE: Final = "pipedrive-operator"
"""The ClusterRole that is bound in single namespaces, instead of a Role in each."""
_ESCROW: Final = "pipedrive-operator.io/escrow"
_LEASE: Final = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/pipedrive-operator"
_READY_SECONDS: Final = 60.0
_LEADS_SECONDS: Final = 60.0
"""How long it may take until a standby leads: after a crash, the Lease lasts for 15 s."""


@dataclass(kw_only=True)
class Release:
    """One release: one replica, and two during a rollout. Its name is also that of its namespace and of its user."""

    name: str
    cluster: ControlPlane
    settings: Callable[[Path], Json]
    """Returns settings for a kubeconfig; what makes them those of this release is added here."""
    folder: Path
    running: OperatorProcess | None = None
    """The newest replica, unless it was killed."""
    old: OperatorProcess | None = None
    """The replica that a rollout replaces."""
    watched: frozenset[str] = frozenset()
    _numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        """Create its namespace and its user."""
        self.cluster.kubectl("create", "namespace", self.name)
        arguments = (f"--clusterrole={READS_CRD}", f"--user={self.name}")
        self.cluster.kubectl("create", "clusterrolebinding", self.name, *arguments)
        self._bind(self.name)
        self.kubeconfig = self.cluster.kubeconfig_for(self.name)

    @property
    def holder(self) -> str:
        """Who holds its Lease; empty if nobody does."""
        return self._lease()[0]

    @property
    def escrow(self) -> list[str]:
        """The names of the Secrets in its escrow."""
        arguments = (f"--namespace={self.name}", f"--selector={_ESCROW}", "--output=name")
        return self.cluster.kubectl("get", "secrets", *arguments).split()

    def watch(self, *namespaces: str) -> None:
        """Watch these namespaces from now on, once the old replica has ended and the new one leads."""
        with self.rollout(*namespaces):
            self.ask_to_stop()

    @contextmanager
    def rollout(self, *namespaces: str) -> Iterator[None]:
        """Start a replica that watches these namespaces, and wait at the end until it leads.

        The old replica goes on until the block asks it to stop.
        """
        holder = self.holder
        self._change_roles(frozenset(namespaces))
        self.old, name = self.running, f"{self.name}-{next(self._numbers)}"
        self.running = OperatorProcess(self._settings(), folder=self.folder, name=name)
        self.running.start()
        self.running.wait_ready(timeout=_READY_SECONDS)
        yield
        if self.old is not None:
            assert 0 == self.old.wait()
        eventually(lambda: self.holder not in {"", holder}, within=_LEADS_SECONDS)

    def ask_to_stop(self) -> None:
        """Ask the old replica of a rollout to stop, and wait until it sends no refresh token any more."""
        if (old := self.old) is not None:
            old.terminate()
            eventually(lambda: "stopping" in old.log.read_text())

    def wait_until_it_holds_on(self) -> None:
        """Wait until the old replica, which was asked to stop, renews the Lease although it answers nobody any more."""
        assert self.old is not None
        old = self.old
        eventually(lambda: old.get("/livez") is None)
        holder, renewed_at = self._lease()
        eventually(lambda: self._lease()[0] == holder != "" and self._lease()[1] != renewed_at)

    def kill(self) -> None:
        """Kill the replica, as the failure of its node would."""
        assert self.running is not None
        self.running.kill()
        self.running = None

    def stop(self) -> None:
        """Stop the replicas."""
        for replica in (self.old, self.running):
            if replica is not None:
                replica.stop()

    def _lease(self) -> tuple[str, str]:
        """Return who holds the Lease, and when it was renewed; empty if nobody does."""
        lease = self.cluster.client().find(_LEASE.format(self.name))
        spec = lease["spec"] if lease else {}
        return str(spec.get("holderIdentity") or ""), str(spec.get("renewTime") or "")

    def _settings(self) -> Json:
        made = self.settings(self.kubeconfig)
        made["kubernetes"] |= {"namespaces": sorted(self.watched), "operatorNamespace": self.name}
        return made | {"leaderElection": {"enabled": True, "leaseDuration": "15s"}}

    def _change_roles(self, watched: frozenset[str]) -> None:
        for added in sorted(watched - self.watched):
            self._bind(added)
        for removed in sorted(self.watched - watched):
            self.cluster.kubectl("delete", "rolebinding", self.name, f"--namespace={removed}")
        self.watched = watched

    def _bind(self, namespace: str) -> None:
        arguments = (f"--clusterrole={_ROLE}", f"--user={self.name}", f"--namespace={namespace}")
        self.cluster.kubectl("create", "rolebinding", self.name, *arguments)
