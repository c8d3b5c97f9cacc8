"""The cluster that the demo runs on: one that it builds, or the caller's own.

In a cluster of the caller's it adds one namespace, and the CRD where there was none, takes both away again, and touches
nothing else.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed import binaries
from testbed.control_plane import ControlPlane
from testbed.kubectl import Kubectl, KubectlError

NAMESPACE = "pipedrive-demo"
CRD = Path(__file__).parents[3] / "crds" / "pipedrivecredentials.yaml"
CRD_NAME = "pipedrivecredentials.pipedrive-operator.io"
_LABEL = "pipedrive-operator.io/demo"
_WAIT = "--timeout=50s"


class RefusalError(Exception):
    """The demo does not start; the text is a sentence that says why and what to do."""


class LeftoverError(Exception):
    """Something could not be taken away again; the text says what, and how to do it by hand."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster and an administrator's way to it; `shown` is the value of KUBECONFIG for people."""

    kubectl: Kubectl
    shown: str
    borrowed: bool

    @property
    def server(self) -> str:
        """The address of the API server."""
        return str(self.connection()["server"])

    def connection(self) -> dict[str, object]:
        """Return the cluster's part of the kubeconfig: address and certificate authority. Raises KubectlError."""
        config = json.loads(self.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json"))
        found: dict[str, object] = config["clusters"][0]["cluster"]
        return found


@contextmanager
def built(folder: Path) -> Iterator[Cluster]:
    """Run a cluster while the block lasts. Raises ProcessError and BuildError."""
    with ControlPlane(folder=folder / "cluster") as control_plane:
        # Under a name that a person can type.
        kubeconfig = Path(shutil.copy(control_plane.kubeconfig, folder / "kubeconfig"))
        yield Cluster(kubectl=control_plane.kubectl_as(kubeconfig), shown=str(kubeconfig), borrowed=False)


@contextmanager
def mine(folder: Path) -> Iterator[Cluster]:
    """Use the current context of KUBECONFIG, and go on with it if that changes. Raises RefusalError and BuildError."""
    shown = os.environ.get("KUBECONFIG")
    if not shown:
        message = "KUBECONFIG is not set: name the cluster to use, as in: export KUBECONFIG=~/.kube/config"
        raise RefusalError(message)
    program = _find_kubectl()
    # A copy of our own: kubectl keeps its cache beside the file, and nothing is to be left beside the caller's.
    copy = folder / "kubeconfig"
    copy.touch(mode=0o600)
    try:
        theirs = Kubectl(program, Path(shown))
        copy.write_text(theirs("config", "view", "--raw", "--minify", "--flatten"))
        cluster = Cluster(kubectl=Kubectl(program, copy), shown=shown, borrowed=True)
        _refuse_if_taken(cluster)
    except KubectlError as error:
        message = f"the cluster of KUBECONFIG={shown} cannot be used: {error}"
        raise RefusalError(message) from error
    yield cluster


def _find_kubectl() -> Path:
    """Return the caller's kubectl, which suits their cluster, or else the testbed's. Raises BuildError."""
    found = shutil.which("kubectl")
    return Path(found) if found else binaries.ensure("kubectl")["kubectl"]


def _refuse_if_taken(cluster: Cluster) -> None:
    """Raise RefusalError if the demo's namespace exists."""
    if _exists(cluster.kubectl, "namespace", NAMESPACE):
        message = (
            f"the cluster has a namespace {NAMESPACE} already, and the demo touches nothing that it did not make. "
            f"If it is left from an earlier demo: kubectl delete namespace {NAMESPACE}"
        )
        raise RefusalError(message)


@contextmanager
def definition(cluster: Cluster) -> Iterator[str]:
    """Have the CRD in the cluster while the block lasts, and say whether it was there. Raises KubectlError."""
    if _exists(cluster.kubectl, "customresourcedefinition", CRD_NAME):
        yield "the CRD was there before, and is left as it is"
        return
    try:
        cluster.kubectl("apply", "--server-side", f"--filename={CRD}")
        cluster.kubectl("wait", "--for=condition=Established", _WAIT, f"customresourcedefinition/{CRD_NAME}")
        yield f"the CRD is applied from {CRD.parent.name}/{CRD.name}"
    finally:
        if cluster.borrowed:
            _remove_definition(cluster.kubectl)


@contextmanager
def namespace(cluster: Cluster) -> Iterator[str]:
    """Have the demo's namespace while the block lasts. Raises KubectlError."""
    # By its label, so that a namespace which somebody else made meanwhile stays whatever happens here.
    mark = secrets.token_hex(8)
    labels = {_LABEL: mark}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    try:
        cluster.kubectl("create", "--filename=-", stdin=json.dumps(manifest))
        yield f"namespace {NAMESPACE}"
    finally:
        if cluster.borrowed:
            _remove(cluster.kubectl, "namespace", f"--selector={_LABEL}={mark}", by_hand=f"namespace {NAMESPACE}")


def _remove_definition(kubectl: Kubectl) -> None:
    """Take the CRD away, unless somebody has come to use it: their credentials would go with it."""
    try:
        used = kubectl("get", CRD_NAME, "--all-namespaces", "--output=name").split()
    except KubectlError as error:
        if "doesn't have a resource type" not in str(error):
            message = f"the CRD {CRD_NAME} is left behind, because it is not known who uses it: {error}"
            raise LeftoverError(message) from error
        used = []
    if used:
        message = f"the CRD {CRD_NAME} is left behind, because there are other credentials now: {', '.join(used)}"
        raise LeftoverError(message)
    _remove(kubectl, "customresourcedefinition", CRD_NAME, by_hand=f"customresourcedefinition {CRD_NAME}")


def _remove(kubectl: Kubectl, *what: str, by_hand: str) -> None:
    try:
        kubectl("delete", *what, "--ignore-not-found", _WAIT)
    except KubectlError as error:
        message = f"left behind: {error}\nTake it away with: kubectl delete {by_hand}"
        raise LeftoverError(message) from error


def _exists(kubectl: Kubectl, kind: str, name: str) -> bool:
    return bool(kubectl("get", kind, name, "--ignore-not-found", "--output=name").strip())
