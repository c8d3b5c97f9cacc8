"""The cluster for the demo: one that it builds, or the user's own.

In the user's cluster it creates one namespace, and the CRDs that are missing, deletes them at the end, and changes
nothing else.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed import binaries
from testbed.control_plane import ControlPlane
from testbed.kubectl import Kubectl, KubectlError

NAMESPACE = "pipedrive-demo"
PLURALS = ("pipedrivecredentials", "pipedriveconsents")
_CRDS = Path(__file__).parents[3] / "crds"
_GROUP = "pipedrive-operator.io"
_LABEL = "pipedrive-operator.io/demo"
_WAIT = "--timeout=50s"


class RefusalError(Exception):
    """The demo cannot start; the message says why and what to do."""


class LeftoverError(Exception):
    """Something could not be deleted at the end; the message says what, and how to delete it by hand."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster with administrator access; `shown` is the value of KUBECONFIG for the user."""

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
    """Run a cluster within the block. Raises ProcessError and BuildError."""
    # Without controllers: the demo needs none, and setup-envtest provides none.
    with ControlPlane(folder=folder / "cluster", controllers=()) as control_plane:
        # Under a path that is easy to type.
        kubeconfig = Path(shutil.copy(control_plane.kubeconfig, folder / "kubeconfig"))
        yield Cluster(kubectl=control_plane.kubectl_as(kubeconfig), shown=str(kubeconfig), borrowed=False)


@contextmanager
def mine(folder: Path) -> Iterator[Cluster]:
    """Use the current context of KUBECONFIG, even if that changes later. Raises RefusalError and BuildError."""
    shown = os.environ.get("KUBECONFIG")
    if not shown:
        message = "KUBECONFIG is not set: name the cluster to use, as in: export KUBECONFIG=~/.kube/config"
        raise RefusalError(message)
    program = _find_kubectl()
    # A copy: kubectl writes its cache next to the file, and nothing must be left next to the user's.
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
    """Return the user's kubectl, which fits their cluster, or else the testbed's. Raises BuildError."""
    found = shutil.which("kubectl")
    return Path(found) if found else binaries.ensure("kubectl")["kubectl"]


def _refuse_if_taken(cluster: Cluster) -> None:
    """Raise RefusalError if the demo's namespace exists."""
    if _exists(cluster.kubectl, "namespace", NAMESPACE):
        message = (
            f"the cluster already has a namespace {NAMESPACE}, and the demo changes nothing that it did not create. "
            f"If an earlier demo left it behind, run: kubectl delete namespace {NAMESPACE}"
        )
        raise RefusalError(message)


@contextmanager
def definitions(cluster: Cluster) -> Iterator[str]:
    """Provide the CRDs within the block, and yield which of them existed. Raises KubectlError."""
    with ExitStack() as stack:
        yield "; ".join([stack.enter_context(_definition(cluster, plural)) for plural in PLURALS])


@contextmanager
def _definition(cluster: Cluster, plural: str) -> Iterator[str]:
    name, file = f"{plural}.{_GROUP}", _CRDS / f"{plural}.yaml"
    if _exists(cluster.kubectl, "customresourcedefinition", name):
        yield f"the CRD {plural} exists and is left as it is"
        return
    try:
        cluster.kubectl("apply", "--server-side", f"--filename={file}")
        cluster.kubectl("wait", "--for=condition=Established", _WAIT, f"customresourcedefinition/{name}")
        yield f"the CRD {plural} is applied from {_CRDS.name}/{file.name}"
    finally:
        if cluster.borrowed:
            _remove_definition(cluster.kubectl, name)


@contextmanager
def namespace(cluster: Cluster) -> Iterator[str]:
    """Provide the demo's namespace within the block. Raises KubectlError."""
    # Deleted by its label, so that a namespace that someone else has created in the meantime is kept.
    mark = secrets.token_hex(8)
    labels = {_LABEL: mark}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    try:
        cluster.kubectl("create", "--filename=-", stdin=json.dumps(manifest))
        yield f"namespace {NAMESPACE}"
    finally:
        if cluster.borrowed:
            _remove(cluster.kubectl, "namespace", f"--selector={_LABEL}={mark}", by_hand=f"namespace {NAMESPACE}")


def _remove_definition(kubectl: Kubectl, name: str) -> None:
    """Delete a CRD, unless someone uses it by now: that would delete their objects."""
    try:
        used = kubectl("get", name, "--all-namespaces", "--output=name").split()
    except KubectlError as error:
        if "doesn't have a resource type" not in str(error):
            message = f"the CRD {name} is left behind, because checking whether it is used failed: {error}"
            raise LeftoverError(message) from error
        used = []
    if used:
        message = f"the CRD {name} is left behind, because other objects exist: {', '.join(used)}"
        raise LeftoverError(message)
    _remove(kubectl, "customresourcedefinition", name, by_hand=f"customresourcedefinition {name}")


def _remove(kubectl: Kubectl, *what: str, by_hand: str) -> None:
    try:
        kubectl("delete", *what, "--ignore-not-found", _WAIT)
    except KubectlError as error:
        message = f"left behind: {error}\nDelete it with: kubectl delete {by_hand}"
        raise LeftoverError(message) from error


def _exists(kubectl: Kubectl, kind: str, name: str) -> bool:
    return bool(kubectl("get", kind, name, "--ignore-not-found", "--output=name").strip())
