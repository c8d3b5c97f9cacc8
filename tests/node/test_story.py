"""The life of a release, in order: each test continues where the one before ended, with what users do and see.

The CRD by kubectl, the operator by Helm from its own image, a login to Vault with the pod's ServiceAccount, a
workload that mounts the Secret, a refresh, a killed leader, an upgrade, a consent in a browser, and the end of the
release.
"""

import itertools
import json
import ssl
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.chart import CHART
from support.consent_deployment import Offer, apply_unconnected
from support.tenant import APP_PATH, Tenant, eventually, now
from testbed.control_plane import ControlPlane
from testbed.helm import Helm
from testbed.kubectl import KubectlError
from testbed.node import image, node_network
from testbed.node.node import Node
from testbed.openbao import OpenBao
from testbed.pipedrive.client import ControlClient
from testbed.visitor import Visitor

Json = dict[str, Any]
RELEASE = "pipedrive-operator"
OPERATORS = "pipedrive-operator"
"""The namespace that the chart is installed in."""

HERE = f"--namespace={OPERATORS}"
OF_RELEASE = f"app.kubernetes.io/instance={RELEASE}"
LEASE_SECONDS = 30
CONNECT = "connect.example.com"
"""The host of the consent front; a visitor connects to its pods in turn, because the node has no Services."""
POLICY = f"""
path "secret/data/{APP_PATH}" {{ capabilities = ["read"] }}
path "secret/data/pipedrive/crm/*" {{ capabilities = ["read", "create", "update"] }}
"""
REPEATS_THE_TOKEN = """
started=$(date +%s%N)
while :; do echo "$(cat /credential/access_token) $started"; sleep 0.2; done
"""


@pytest.fixture(scope="module")
def tenant(control_plane: ControlPlane, openbao: OpenBao, pipedrive: ControlClient, client_id: str) -> Tenant:
    """Provide the namespace of the team that uses the operator, and its company at Pipedrive."""
    control_plane.kubectl("create", "namespace", "crm")
    return Tenant(cluster=control_plane, openbao=openbao, pipedrive=pipedrive, namespace="crm", client_id=client_id)


@pytest.fixture(scope="module")
def values(
    control_plane: ControlPlane, openbao: OpenBao, pipedrive: ControlClient, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Write the values of the release, after configuring the operator's ServiceAccount in Vault."""
    openbao.put_policy(RELEASE, POLICY)
    openbao.enable_kubernetes_auth(control_plane)
    openbao.put_kubernetes_role(RELEASE, service_account=f"{OPERATORS}/{RELEASE}", policies=[RELEASE])
    repository, _, tag = image.IMAGE.rpartition(":")
    vault = openbao.address.replace("127.0.0.1", node_network.ADDRESS)
    config = {
        "vault": {
            "connections": {
                "default": {
                    "address": vault,
                    "auth": {"method": "kubernetes", "role": RELEASE},
                    "insecure": True,
                }
            }
        },
        "pipedrive": {
            "apiUrl": pipedrive.url,
            "oauthUrl": pipedrive.url,
            "insecure": True,
            "allowedApiDomains": [f"http://{node_network.ADDRESS}:*", "https://*.pipedrive.com"],
            "apps": {"crm-sync": {"path": APP_PATH, "allowedNamespaces": ["crm"]}},
        },
        "leaderElection": {"leaseDuration": f"{LEASE_SECONDS}s"},
    }
    path = tmp_path_factory.mktemp("values") / "values.yaml"
    path.write_text(
        yaml.safe_dump({"image": {"repository": repository, "tag": tag, "pullPolicy": "Never"}, "config": config})
    )
    return path


@pytest.fixture(scope="module", autouse=True)
def _show_cluster_on_failure(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[None]:
    """Print the state of the cluster if a test failed."""
    before = request.session.testsfailed
    yield
    if request.session.testsfailed == before:
        return
    with suppress(KubectlError):
        sys.stderr.write(control_plane.kubectl("get", "pods,events", "--all-namespaces", "--output=wide"))
        sys.stderr.write(control_plane.kubectl("logs", HERE, f"--selector={OF_RELEASE}", "--prefix"))


def operator_pods(control_plane: ControlPlane) -> dict[str, Json]:
    """Return the release's pods that are not terminating, by name."""
    found = json.loads(control_plane.kubectl("get", "pods", HERE, f"--selector={OF_RELEASE}", "--output=json"))["items"]
    return {pod["metadata"]["name"]: pod for pod in found if "deletionTimestamp" not in pod["metadata"]}


def leader(control_plane: ControlPlane) -> str:
    """Return the name of the pod that holds the Lease."""
    found = json.loads(control_plane.kubectl("get", "lease", RELEASE, HERE, "--output=json"))
    return str(found["spec"].get("holderIdentity", "")).rpartition("_")[0]


def workload_log(tenant: Tenant, *, name: str = "sync", lines: int = 1) -> list[tuple[str, str]]:
    """Return a workload's newest log lines (-1: all): the token, and when the process that read it started."""
    said = tenant.kubectl("logs", f"deployment/{name}", f"--tail={lines}").splitlines()
    return [(token, process) for token, _, process in (line.rpartition(" ") for line in said)]


def test_helm_installs_two_replicas_from_the_image(
    node: Node, control_plane: ControlPlane, helm: Helm, values: Path
) -> None:
    """The chart's security context applies: not root, a read-only root file system, no capabilities."""
    assert node
    helm(
        *("install", RELEASE, str(CHART), HERE, "--create-namespace", f"--values={values}"),
        *("--wait", "--timeout=110s"),
    )

    pods = operator_pods(control_plane)
    assert 2 == len(pods)
    status = control_plane.kubectl("exec", HERE, next(iter(pods)), "--", "cat", "/proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert ["65532"] * 4 == fields["Uid"].split()
    assert int(fields["CapEff"], 16) == 0
    mounts = control_plane.kubectl("exec", HERE, next(iter(pods)), "--", "cat", "/proc/self/mounts").splitlines()
    assert "ro" in next(line.split()[3].split(",") for line in mounts if line.split()[1] == "/")


def test_the_check_in_the_pod_finds_nothing_missing(control_plane: ControlPlane) -> None:
    """It runs as the notes of the chart say."""
    check = "pipedrive-operator check --config=/etc/pipedrive-operator/settings.yaml --output=json || true"

    findings = json.loads(control_plane.kubectl("exec", HERE, f"deployment/{RELEASE}", "--", "sh", "-c", check))

    assert [] == [finding for finding in findings if not finding["ok"]]


def test_a_workload_reads_its_token_from_a_file(tenant: Tenant) -> None:
    """The credential was applied a moment before; Pipedrive accepts the token that the workload prints."""
    tenant.apply_oauth2(account={"companyDomain": tenant.domain})
    tenant.wait_until_published()

    tenant.create(_workload())
    tenant.kubectl("rollout", "status", "deployment/sync", "--timeout=50s")

    ((token, _),) = eventually(lambda: workload_log(tenant))
    assert tenant.stored("acme")["access_token"] == token
    credential = tenant.get("pipedrivecredential", "acme")
    assert credential is not None
    assert tenant.domain == credential["status"]["account"]["companyDomain"]


def test_a_refreshed_token_reaches_the_file_without_a_restart(tenant: Tenant) -> None:
    """The same process reads another token."""
    ((before, process),) = workload_log(tenant)

    tenant.annotate("pipedrivecredential", "acme", requested_at=now(), request="refresh")

    eventually(lambda: workload_log(tenant)[-1][0] != before, within=60)
    assert [(tenant.stored("acme")["access_token"], process)] == workload_log(tenant)


def test_another_replica_takes_over_without_a_trace_in_the_workload(
    node: Node, control_plane: ControlPlane, tenant: Tenant
) -> None:
    """The leader is killed before it can release its Lease, and another pod carries out the requested refresh."""
    dead = leader(control_plane)
    (container,) = operator_pods(control_plane)[dead]["status"]["containerStatuses"]
    ((token, process),) = workload_log(tenant)
    node.containerd.kill(container["containerID"])
    # The kubelet may also start it again, and it may acquire the Lease again.
    control_plane.kubectl("delete", "pod", dead, HERE, "--grace-period=0", "--force")

    successor = eventually(lambda: leader(control_plane) not in {"", dead} and leader(control_plane), within=90)

    assert successor in operator_pods(control_plane)
    assert [(token, process)] == workload_log(tenant)
    tenant.annotate("pipedrivecredential", "acme", requested_at=now(), request="refresh")
    eventually(lambda: workload_log(tenant)[-1][0] != token, within=60)
    assert process == workload_log(tenant)[-1][1]


def test_an_upgrade_replaces_the_pods_and_nothing_else(
    control_plane: ControlPlane, helm: Helm, values: Path, tenant: Tenant
) -> None:
    """A changed setting does; the Secret is not written again."""
    old, secret = operator_pods(control_plane), tenant.get("secret", "acme")
    control_plane.kubectl("rollout", "status", HERE, f"deployment/{RELEASE}", "--timeout=50s")

    helm(
        *("upgrade", RELEASE, str(CHART), HERE, f"--values={values}", "--set=config.log.level=debug"),
        *("--wait", "--timeout=110s"),
    )

    eventually(lambda: len(operator_pods(control_plane)) == 2)
    assert not old.keys() & operator_pods(control_plane).keys()
    eventually(lambda: leader(control_plane) in operator_pods(control_plane), within=60)
    assert secret == tenant.get("secret", "acme")
    assert "True" == tenant.conditions()["Ready"]["status"]


def test_every_refresh_token_was_spent_once(tenant: Tenant) -> None:
    """Despite a crash and an upgrade; one workload process has read exactly the three tokens."""
    ledger = tenant.pipedrive.ledger()

    assert (3, []) == (len(ledger.refreshes()), ledger.double_spent())
    said = workload_log(tenant, lines=-1)
    assert (3, 1) == (len({token for token, _ in said}), len({process for _, process in said}))


def test_an_upgrade_deploys_the_consent_front(
    control_plane: ControlPlane, helm: Helm, values: Path, pipedrive: ControlClient, client_id: str
) -> None:
    """Two pods, which serve TLS with the certificate of a Secret, and whose ServiceAccount reaches no Secret."""
    pair = control_plane.serving_certificate("consent", [CONNECT])
    files = (f"--cert={pair.public}", f"--key={pair.key}")
    control_plane.kubectl("create", "secret", "tls", "connect-tls", HERE, *files)
    pipedrive.command("change-app", client_id=client_id, redirect_uri=f"https://{CONNECT}/callback")

    helm(
        *("upgrade", RELEASE, str(CHART), HERE, f"--values={values}", "--set=consent.enabled=true"),
        *(f"--set=consent.publicUrl=https://{CONNECT}", "--set=consent.tls.secretName=connect-tls"),
        *("--set=config.kubernetes.clusterName=node", "--wait", "--timeout=110s"),
    )

    assert 2 == len(front_addresses(control_plane))
    account = f"--as=system:serviceaccount:{OPERATORS}:{RELEASE}-consent"
    rights = control_plane.kubectl("auth", "can-i", "--list", account, "--namespace=crm")
    assert "pipedriveconsents" in rights
    assert "secrets" not in rights


def test_a_person_connects_an_account_and_a_pod_reads_its_token(control_plane: ControlPlane, tenant: Tenant) -> None:
    """The link is all that the person has; each request may reach the other pod of the front."""
    trusted = ssl.create_default_context(cafile=str(control_plane.ca))
    visitor = Visitor(tls=trusted, servers={CONNECT: itertools.cycle(front_addresses(control_plane))})
    apply_unconnected(tenant, "connected", app="crm-sync")
    tenant.create(_workload("connected", name="connected"))
    offer = Offer(tenant, credential="connected", visitor=visitor)

    page = offer.result(offer.accept())

    assert "Connected" == page.heading
    assert f"{tenant.domain}.pipedrive.com" in page.text
    tenant.wait_until_published("connected")
    tenant.kubectl("rollout", "status", "deployment/connected", "--timeout=110s")
    ((token, _),) = eventually(lambda: workload_log(tenant, name="connected"))
    assert tenant.stored("connected")["access_token"] == token


def front_addresses(control_plane: ControlPlane) -> list[tuple[str, int]]:
    """Return where the pods of the consent front listen."""
    selector = f"--selector=app.kubernetes.io/name=pipedrive-operator-consent,{OF_RELEASE}"
    pods = json.loads(control_plane.kubectl("get", "pods", HERE, selector, "--output=json"))["items"]
    return [(pod["status"]["podIP"], 8443) for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def test_uninstalling_keeps_the_crd_the_credentials_and_the_secrets(
    control_plane: ControlPlane, helm: Helm, tenant: Tenant
) -> None:
    """The workload's Secret stays; the objects of the release are deleted."""
    secret, ((token, process),) = tenant.secret(), workload_log(tenant)

    helm("uninstall", RELEASE, HERE, "--wait", "--timeout=110s")

    ours = (f"--selector={OF_RELEASE}", "--output=name")
    eventually(lambda: not control_plane.kubectl("get", "all,configmap,role,rolebinding", HERE, *ours), within=90)
    assert "" == control_plane.kubectl("get", "clusterrole,clusterrolebinding", *ours)
    control_plane.kubectl("get", "customresourcedefinition", "pipedrivecredentials.pipedrive-operator.io")
    assert tenant.get("pipedrivecredential", "acme") is not None
    assert (secret, [(token, process)]) == (tenant.secret(), workload_log(tenant))


def _workload(credential: str = "acme", *, name: str = "sync") -> Json:
    container = {
        "name": "sync",
        "image": image.DEBIAN,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", REPEATS_THE_TOKEN],
        "volumeMounts": [{"name": "credential", "mountPath": "/credential", "readOnly": True}],
    }
    pod = {
        "containers": [container],
        "volumes": [{"name": "credential", "secret": {"secretName": credential}}],
        "terminationGracePeriodSeconds": 0,
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
