"""The chart on a real API server: accepted, applied twice, installed, upgraded and uninstalled."""

import json
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipedrive_operator.adapters.kubernetes.crd_version import CRD_NAME
from pipedrive_operator.adapters.kubernetes.permissions import (
    Permission,
    required,
    required_for_election,
    required_for_escrow,
    required_for_front,
    required_for_rollouts,
)
from pipedrive_operator.core.resource.names import Key
from support.chart import CHART, MATRIX
from support.credential_examples import valid
from support.tenant import eventually
from testbed.control_plane import ControlPlane
from testbed.helm import Helm, HelmError
from testbed.kubectl import KubectlError

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]
Right = tuple[str | None, str, str, str, str]
CRD = Path(__file__).parents[2] / "crds" / "pipedrivecredentials.yaml"
CONSENT_CRD = CRD.with_name("pipedriveconsents.yaml")


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """Create a namespace that accepts hardened pods only."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    control_plane.kubectl("create", "namespace", name)
    control_plane.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def installing(helm: Helm, control_plane: ControlPlane) -> Helm:
    """Return Helm for the cluster."""
    return replace(helm, kubeconfig=control_plane.kubeconfig)


@pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)
def test_the_api_server_accepts_every_object(
    control_plane: ControlPlane, helm: Helm, namespace: str, values: Path
) -> None:
    """The test uses a dry run of server-side apply, as Helm 4, Flux and Argo CD do."""
    manifests = helm("template", "x", str(CHART), f"--namespace={namespace}", f"--values={values}")
    count = len([one for one in yaml.safe_load_all(manifests) if one])

    taken = control_plane.kubectl(
        "apply", "--server-side", "--dry-run=server", "--force-conflicts", "--filename=-", stdin=manifests
    )

    assert count == taken.count("serverside-applied")


@pytest.mark.parametrize("values", MATRIX, ids=lambda path: path.stem)
def test_a_second_apply_changes_nothing(control_plane: ControlPlane, helm: Helm, namespace: str, values: Path) -> None:
    """A GitOps tool sees no difference after its own apply."""
    where = (f"--namespace={namespace}", f"--values={values}", "--set=crds.enabled=false")
    manifests = helm("template", "x", str(CHART), *where)
    control_plane.kubectl("apply", "--server-side", "--filename=-", stdin=manifests)
    before = versions(control_plane, manifests)

    control_plane.kubectl("apply", "--server-side", "--filename=-", stdin=manifests)
    difference = control_plane.kubectl("diff", "--server-side", "--filename=-", stdin=manifests)

    assert before
    assert before == versions(control_plane, manifests)
    assert "" == difference
    control_plane.kubectl("delete", "--filename=-", "--wait=false", stdin=manifests)


def versions(control_plane: ControlPlane, manifests: str) -> dict[str, str]:
    """Return the resourceVersion of each object."""
    found = json.loads(control_plane.kubectl("get", "--filename=-", "--output=json", stdin=manifests))
    return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in found["items"]}


def test_a_namespace_for_hardened_pods_accepts_the_pods(
    control_plane: ControlPlane, helm: Helm, namespace: str
) -> None:
    """It enforces the Pod Security Standard `restricted`, and refuses them without the chart's security context."""
    where = (f"--namespace={namespace}", "--set=serviceAccount.create=false")

    taken = create_pod(control_plane, namespace, helm("template", "x", str(CHART), *where))
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        create_pod(control_plane, namespace, helm("template", "x", str(CHART), *where, "--set=securityContext=null"))

    assert "pod/x created" in taken


def create_pod(control_plane: ControlPlane, namespace: str, manifests: str) -> str:
    """Create a pod of the Deployment as a dry run."""
    deployment = next(one for one in yaml.safe_load_all(manifests) if one and one["kind"] == "Deployment")
    template = deployment["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": template["spec"]}
    eventually(lambda: has_default_service_account(control_plane, namespace))
    where = (f"--namespace={namespace}", "--dry-run=server", "--filename=-")
    return control_plane.kubectl("create", *where, stdin=json.dumps(pod))


def has_default_service_account(control_plane: ControlPlane, namespace: str) -> bool:
    """Return whether a new namespace has its ServiceAccount, without which no pod can start."""
    return bool(control_plane.kubectl("get", "sa", "default", f"--namespace={namespace}", "--ignore-not-found"))


@pytest.mark.parametrize("rollout", [False, True], ids=["", "restarts workloads"])
@pytest.mark.parametrize("watched", [(), ("crm",), ("crm", "ops")], ids=["all", "one", "its own, too"])
def test_the_chart_grants_exactly_the_permissions_of_check(
    render: Render, watched: tuple[str, ...], *, rollout: bool
) -> None:
    """The permission to read the CRD comes on top. Nothing is granted twice."""
    manifests = render(
        f"--set-json=watchNamespaces={json.dumps(watched)}",
        f"--set=config.rollout.enabled={str(rollout).lower()}",
        "--set=rbac.aggregateClusterRoles=false",
    )
    lease = Key(namespace="ops", name="x-pipedrive-operator")
    asked = [*required(watched), *required_for_escrow("ops"), *required_for_election(lease)]
    asked += required_for_rollouts(watched) if rollout else []

    granted = [right for one in manifests for right in rights(one)]

    wanted = {plain(right) for right in asked}
    everywhere = {right[1:] for right in wanted if right[0] is None}
    needed_there = {right for right in wanted if right[0] is None or right[1:] not in everywhere}
    crd = (None, "get", "apiextensions.k8s.io", "customresourcedefinitions", CRD_NAME)
    assert sorted(granted, key=str) == sorted({*needed_there, crd}, key=str)


@pytest.mark.parametrize("watched", [(), ("crm", "ops")], ids=["all", "some"])
def test_the_front_has_the_rights_that_it_asks_for(render: Render, watched: tuple[str, ...]) -> None:
    """It may read consents and store answers in them, and has none of the operator's other rights."""
    manifests = render(
        f"--set-json=watchNamespaces={json.dumps(watched)}",
        "--set=consent.enabled=true,consent.publicUrl=https://connect.example.com",
    )

    granted = [right for one in manifests if is_of_front(one) for right in rights(one)]

    assert sorted(map(plain, required_for_front(watched)), key=str) == sorted(granted, key=str)
    (binding,) = {json.dumps(one["subjects"]) for one in manifests if is_of_front(one) and "subjects" in one}
    assert "x-pipedrive-operator-consent" in binding


def is_of_front(manifest: Manifest) -> bool:
    """Return whether an object belongs to the consent front."""
    return bool(manifest["metadata"]["labels"]["app.kubernetes.io/name"] == "pipedrive-operator-consent")


def plain(right: Permission) -> Right:
    """Format a permission of the operator's own list as `rights` does."""
    resource = "/".join(filter(None, (right.resource, right.subresource)))
    return right.namespace, right.verb, right.group, resource, right.name


def rights(manifest: Manifest) -> Iterator[Right]:
    """Yield what a Role of the operator allows: namespace, verb, group, resource, name."""
    if manifest["kind"] not in {"Role", "ClusterRole"}:
        return
    for rule in manifest["rules"]:
        for name in rule.get("resourceNames", [""]):
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield manifest["metadata"].get("namespace"), verb, rule["apiGroups"][0], resource, name


def test_the_built_in_roles_let_people_work_with_credentials(
    control_plane: ControlPlane, installing: Helm, namespace: str
) -> None:
    """Users with view rights can read credentials, and users with edit rights can write them."""
    installing("install", "x", str(CHART), f"--namespace={namespace}", "--values", str(MATRIX[0]))
    for role in ("view", "edit"):
        user = f"{role}-{namespace}"
        control_plane.kubectl(
            "create", "rolebinding", role, f"--clusterrole={role}", f"--user={user}", f"--namespace={namespace}"
        )

    def may(role: str, verb: str) -> bool:
        """Return whether a user may do something."""
        asked = ("auth", "can-i", verb, "pipedrivecredentials.pipedrive-operator.io", f"--namespace={namespace}")
        try:
            return control_plane.kubectl(*asked, f"--as={role}-{namespace}").strip() == "yes"
        except KubectlError:
            return False

    eventually(lambda: may("edit", "create"))
    eventually(lambda: may("view", "list"))
    assert not may("view", "create")
    installing("uninstall", "x", f"--namespace={namespace}")


def test_an_upgrade_and_an_uninstall_keep_credentials_and_secrets(
    control_plane: ControlPlane, installing: Helm, namespace: str, tmp_path: Path
) -> None:
    """The CRD belongs to kubectl; what a team created with it does not belong to the release."""
    release = ("x", f"--namespace={namespace}")
    installing("install", *release, str(former(tmp_path)), f"--values={MATRIX[0]}", "--set=config.log.level=debug")
    control_plane.kubectl("create", f"--namespace={namespace}", "--filename=-", stdin=json.dumps(valid()))
    control_plane.kubectl("create", "secret", "generic", "acme", f"--namespace={namespace}", "--from-literal=a=b")
    uid = control_plane.kubectl(
        "get", "pdc/acme", "secret/acme", f"--namespace={namespace}", "--output=jsonpath={.items[*].metadata.uid}"
    )

    installing("upgrade", *release[:1], str(CHART), *release[1:], "--reset-then-reuse-values")
    settings = control_plane.kubectl(
        "get", "configmap", "x-pipedrive-operator", f"--namespace={namespace}", "--output=yaml"
    )
    installing("uninstall", *release)

    left = control_plane.kubectl(
        "get", "pdc/acme", "secret/acme", f"--namespace={namespace}", "--output=jsonpath={.items[*].metadata.uid}"
    )
    gone = control_plane.kubectl(
        "get",
        "deploy,cm,sa,role,rolebinding,pdb,svc",
        f"--namespace={namespace}",
        "--selector=app.kubernetes.io/instance=x",
        "--output=name",
    )
    assert "level: debug" in settings
    assert uid == left
    assert "" == gone
    assert CRD_NAME in control_plane.kubectl("get", "crd", CRD_NAME, "--output=name")


def former(folder: Path) -> Path:
    """Build a chart of an earlier version: this one with another number, as there is no earlier release."""
    chart = shutil.copytree(CHART, folder / "chart")
    described = (chart / "Chart.yaml").read_text()
    (chart / "Chart.yaml").write_text(described.replace("ersion: 0.1.0", "ersion: 0.0.9"))
    return chart


def test_an_upgrade_cannot_take_the_last_namespace_by_mistake(
    control_plane: ControlPlane, installing: Helm, namespace: str
) -> None:
    """An empty list means the whole cluster: to watch it all, delete the ConfigMap first, as the message says."""
    where, watched = f"--namespace={namespace}", f"--set-json=watchNamespaces={json.dumps([namespace])}"
    installing("install", "x", str(CHART), where, f"--values={MATRIX[0]}", watched)
    widen = ("upgrade", "x", str(CHART), where, f"--values={MATRIX[0]}", "--set-json=watchNamespaces=[]")

    with pytest.raises(HelmError, match=re.escape(f"watchNamespaces was [{namespace}] and is now empty")) as refused:
        installing(*widen)
    command = str(refused.value).rpartition("run this first: kubectl ")[2].split()
    control_plane.kubectl(*command)
    installing(*widen)

    settings = control_plane.kubectl("get", "configmap", "x-pipedrive-operator", where, "--output=yaml")
    assert "namespaces: []" in settings
    installing("uninstall", "x", where)


def test_a_release_can_adopt_the_crd_and_leaves_it_behind(
    control_plane: ControlPlane, installing: Helm, namespace: str
) -> None:
    """The credentials stay, too."""
    release = ("x", f"--namespace={namespace}")
    control_plane.kubectl("create", f"--namespace={namespace}", "--filename=-", stdin=json.dumps(valid()))

    installing(
        "install",
        release[0],
        str(CHART),
        release[1],
        "--set=crds.enabled=true",
        "--take-ownership",
        "--force-conflicts",
    )
    labelled = control_plane.kubectl("get", "crd", CRD_NAME, "--output=jsonpath={.metadata.labels}")
    installing("uninstall", *release)

    assert "Helm" in labelled
    assert "acme" in control_plane.kubectl("get", "pdc", f"--namespace={namespace}", "--output=name")


def test_the_crds_of_the_chart_are_served_as_the_canonical_ones(control_plane: ControlPlane, render: Render) -> None:
    """Helm's template functions do not change them."""
    definitions = [one for one in render("--set=crds.enabled=true") if one["kind"] == "CustomResourceDefinition"]

    assert [yaml.safe_load(crd.read_text())["spec"] for crd in (CRD, CONSENT_CRD)] == [
        one["spec"] for one in definitions
    ]
    assert control_plane.kubectl("diff", "--server-side", f"--filename={CRD}", f"--filename={CONSENT_CRD}") == ""
