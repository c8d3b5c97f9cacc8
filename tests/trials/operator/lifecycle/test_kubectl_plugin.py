"""`kubectl pipedrive` against a real API server and a real operator, with the permissions that people have."""

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

from support import plugin as plugins
from support.plugin import Plugin
from support.tenant import Tenant, eventually
from testbed.control_plane import ControlPlane
from testbed.processes import free_port

pytestmark = pytest.mark.usefixtures("operator")
UserOf = Callable[[str | None], Plugin]
KUBERC = """
apiVersion: kubectl.config.k8s.io/v1beta1
kind: Preference
defaults:
- command: get
  options: [{name: output, default: wide}, {name: show-labels, default: "true"}]
- command: delete
  options: [{name: interactive, default: "true"}]
"""


INTERRUPTIBLE = ("env", "--default-signal=INT")
"""A shell lets what it runs in the background ignore Ctrl-C, and the tests may be run so."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane) -> Path:
    """Build the plugin, and create the roles of people."""
    path = tmp_path_factory.mktemp("plugin")
    plugins.install(path)
    plugins.create_roles(control_plane)
    return path


@pytest.fixture
def plugin_of(folder: Path, tenant: Tenant) -> UserOf:
    """Return the plugin of a user with a role in the tenant's namespace."""

    def made(role: str | None) -> Plugin:
        name = f"{role or 'stranger'}-{tenant.namespace}"
        kubeconfig = plugins.user(tenant.cluster, name, namespace=tenant.namespace, role=role)
        return Plugin(folder=folder, kubeconfig=kubeconfig, namespace=tenant.namespace)

    return made


@pytest.fixture(scope="module")
def bare(folder: Path) -> Iterator[Plugin]:
    """Give the plugin a cluster without the CRD."""
    with ControlPlane(controllers=()) as cluster:
        yield Plugin(folder=folder, kubeconfig=cluster.kubeconfig, namespace="default")


def test_an_editor_sees_refreshes_suspends_and_resumes(tenant: Tenant, plugin_of: UserOf) -> None:
    """The role `edit` allows all that a credential needs in its life."""
    tenant.apply_oauth2()
    tenant.wait_until_published()
    plugin = plugin_of("edit")

    listed = plugin("status")
    assert (0, "") == (listed.code, listed.err)
    assert f"acme True Published {tenant.domain} in" in " ".join(listed.out.split())

    refreshed = plugin("refresh", "acme", "--wait")
    assert 0 == refreshed.code, refreshed
    assert "refreshed; the new access token expires in" in refreshed.out

    checked = plugin("refresh", "acme", "--verify-only", "--wait")
    assert f"verified; Pipedrive accepts the token in Vault, for company {tenant.domain}" in checked.out

    assert "suspended; Secret acme stays as it is" in plugin("suspend", "acme").out
    tenant.wait_for("Suspended")
    assert f"{tenant.namespace}/acme: suspended on request" in plugin("status", "acme").out

    assert "resumed" in plugin("resume", "acme").out
    tenant.wait_for("Accepted")
    shown = plugin("status", "acme")
    assert 0 == shown.code
    assert "acme with the keys access_token, api_domain, company_domain, expires_at" in shown.out
    assert "Accepted" in shown.out.split("Events:")[1]
    assert tenant.stored("acme")["access_token"] not in shown.out


def test_a_viewer_sees_but_changes_nothing(tenant: Tenant, plugin_of: UserOf) -> None:
    """The role `view` cannot read Secrets either."""
    tenant.apply_api_token()
    tenant.wait_until_published()
    plugin = plugin_of("view")

    shown = plugin("status", "acme")
    assert (0, "") == (shown.code, shown.err)
    assert "acme, published (your permissions do not include reading Secrets)" in shown.out
    assert "no pod of this namespace" in shown.out

    checked = plugin("check", "acme")
    assert 0 == checked.code, checked
    assert "you can: see credentials; see which pods use a Secret; see Events" in checked.out
    assert "you cannot: refresh, suspend and resume them; connect accounts; see the keys of a Secret" in checked.out
    assert "accepts the value, for company" in checked.out

    for command in ("refresh", "suspend"):
        ended = plugin(command, "acme")
        assert (2, "") == (ended.code, ended.out)
        assert "(Forbidden)" in ended.err
        assert "Ask an administrator of the namespace" in ended.err


def test_a_stranger_learns_what_is_missing(plugin_of: UserOf) -> None:
    """The plugin reveals nothing else."""
    ended = plugin_of(None)("status")

    assert (2, "") == (ended.code, ended.out)
    assert "pipedrivecredentials.pipedrive-operator.io is forbidden" in ended.err
    assert "`view`" in ended.err


def test_an_administrator_can_act_as_someone_else(tenant: Tenant, folder: Path) -> None:
    """`--as` is passed on."""
    plugin = Plugin(folder=folder, kubeconfig=tenant.cluster.kubeconfig, namespace=tenant.namespace)

    ended = plugin("status", "--as=jane")

    assert 2 == ended.code
    assert 'User "jane" cannot list resource' in ended.err


def test_a_problem_is_shown_with_the_next_step(tenant: Tenant, plugin_of: UserOf) -> None:
    """--wait reports it as the outcome."""
    tenant.apply("acme", {"apiToken": {"path": tenant.path("nothing")}})
    tenant.wait_for("SourceMissing")
    plugin = plugin_of("edit")

    shown, waited = plugin("status", "acme"), plugin("refresh", "acme", "--wait")

    assert 1 == shown.code
    assert "a person must act (SourceMissing)" in shown.out
    assert 1 == waited.code
    assert "SourceMissing: " in waited.out
    checked = plugin("check", "acme")
    assert 1 == checked.code
    assert "The first broken part is Vault." in checked.out


def test_a_watch_follows_the_operator(tenant: Tenant, plugin_of: UserOf) -> None:
    """A row for each change, until Ctrl-C."""
    tenant.apply_oauth2()
    tenant.wait_until_published()
    plugin = plugin_of("edit")
    log = tenant.cluster.folder / f"{tenant.namespace}.out"
    plugin_command = [f"{plugin.folder}/kubectl-pipedrive", "status", "--watch", f"--namespace={tenant.namespace}"]
    command = [*INTERRUPTIBLE, *plugin_command]
    with log.open("w") as output, subprocess.Popen(command, env=plugin.environment(), stdout=output) as process:
        try:
            eventually(lambda: len(log.read_text().splitlines()) >= 2)

            assert 0 == plugin("suspend", "acme").code

            eventually(lambda: "Suspended" in log.read_text())
            process.send_signal(signal.SIGINT)
            assert 130 == process.wait(timeout=20)
        finally:
            process.kill()


@pytest.mark.parametrize("kind", ["api-token", "oauth2"])
def test_a_new_manifest_is_accepted(tenant: Tenant, plugin_of: UserOf, kind: str) -> None:
    """The rules of the CRD accept it."""
    printed = plugin_of("edit")("new", kind, "acme", "--company=acme", "--secret=pipedrive")

    assert "created (server dry run)" in tenant.kubectl("apply", "--dry-run=server", "--filename=-", stdin=printed.out)


def prepare_link(tenant: Tenant, redirect_uri: str) -> str:
    """Do what the operator does for a new consent, and return its name."""
    (name,) = eventually(lambda: tenant.kubectl("get", "pdcon", "--output=name").split())
    status = {
        "observedGeneration": 1,
        "app": "crm-sync",
        "url": "https://oauth.example.com/oauth/authorize?client_id=abc",
        "redirectUri": redirect_uri,
        "expiresAt": "2100-01-01T00:00:00Z",
    }
    report(tenant, name, "Waiting", status)
    return name


def report(tenant: Tenant, name: str, reason: str, status: dict[str, Any]) -> None:
    """Write the status of a consent, as the operator does."""
    condition = {
        "type": "Complete",
        "status": "True" if reason == "Connected" else "False",
        "reason": reason,
        "message": "played by a test",
        "observedGeneration": status["observedGeneration"],
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    patch = json.dumps({"status": {**status, "conditions": [condition]}})
    tenant.kubectl("patch", name, "--subresource=status", "--type=merge", f"--patch={patch}")


def answer_of(tenant: Tenant, name: str) -> dict[str, str] | None:
    """Return the answer that a consent holds."""
    spec = json.loads(tenant.kubectl("get", name, "--output=json"))["spec"]
    return dict(spec["answer"]) if "answer" in spec else None


def state_in(output: Path) -> str:
    """Return the state in the link that was printed."""
    link = eventually(lambda: re.search(r"https://oauth\S+", output.read_text()))
    return parse_qs(urlsplit(link.group()).query)["state"][0]


@contextmanager
def connecting(tenant: Tenant, plugin: Plugin) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run `connect` for a published credential, and give the process and its output."""
    tenant.apply_oauth2()
    tenant.wait_until_published()
    log = tenant.cluster.folder / f"{tenant.namespace}.out"
    command = [
        *INTERRUPTIBLE,
        f"{plugin.folder}/kubectl-pipedrive",
        "connect",
        "acme",
        "--no-browser",
        f"--namespace={tenant.namespace}",
    ]
    pipe = subprocess.PIPE
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, env=plugin.environment(), stdin=pipe, stdout=output, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        try:
            yield process, log
        finally:
            process.kill()


def test_an_editor_connects_by_pasting(tenant: Tenant, plugin_of: UserOf) -> None:
    """The code reaches the resource, and the command ends when the operator reports the connection."""
    with connecting(tenant, plugin_of("edit")) as (process, output):
        name, state = prepare_link(tenant, "https://example.com/done"), state_in(output)
        assert process.stdin is not None
        process.stdin.write(f"https://example.com/done?code=c0de&state={state}\n")
        process.stdin.flush()

        assert {"code": "c0de", "state": state} == eventually(lambda: answer_of(tenant, name))
        account = {"companyDomain": "acme", "companyId": 12, "userId": 34}
        report(tenant, name, "Connected", {"observedGeneration": 2, "account": account})

        assert 0 == process.wait(timeout=30)
    assert "Connected to acme.pipedrive.com (company 12) as user 34" in output.read_text()
    assert f"Secret {tenant.namespace}/acme is published." in output.read_text()
    assert "c0de" not in output.read_text()


def test_ctrl_c_removes_the_link_even_while_it_listens(tenant: Tenant, plugin_of: UserOf) -> None:
    """The redirect of this app arrives at a port of this machine."""
    port = free_port()
    with connecting(tenant, plugin_of("edit")) as (process, output):
        name, state = prepare_link(tenant, f"http://localhost:{port}/callback"), state_in(output)
        redirect = f"http://localhost:{port}/callback?code=c0de&state={state}"

        with urlopen(redirect, timeout=10) as response:
            assert "?" not in response.url
        assert {"code": "c0de", "state": state} == eventually(lambda: answer_of(tenant, name))
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # people press it twice

        assert 130 == process.wait(timeout=30)
    assert "The link was removed." in output.read_text()
    assert "" == tenant.kubectl("get", "pdcon", "--output=name")


def test_defaults_in_a_kuberc_file_change_nothing(tenant: Tenant, plugin_of: UserOf, tmp_path: Path) -> None:
    """It can make kubectl print something else, and ask before it deletes."""
    kuberc = tmp_path / "kuberc"
    kuberc.write_text(KUBERC)
    plugin = replace(plugin_of("edit"), variables={"KUBERC": str(kuberc)})

    with connecting(tenant, plugin) as (process, output):
        name = prepare_link(tenant, f"http://localhost:{free_port()}/callback")
        for command in (("status",), ("status", "acme"), ("check", "acme"), ("refresh", "acme", "--wait")):
            ended = plugin(*command)
            assert (0, "") == (ended.code, ended.err), command
        eventually(lambda: "Waiting" in output.read_text() or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    assert name.rpartition("/")[2] not in tenant.kubectl("get", "pdcon", "--output=name")


def test_a_viewer_cannot_connect(tenant: Tenant, plugin_of: UserOf) -> None:
    """Connecting is the right to create a consent."""
    tenant.apply_oauth2()
    tenant.wait_until_published()

    ended = plugin_of("view")("connect", "acme")

    assert (2, "") == (ended.code, ended.out)
    assert "pipedriveconsents.pipedrive-operator.io is forbidden" in ended.err


def test_names_are_completed_by_kubectl_itself(tenant: Tenant, plugin_of: UserOf) -> None:
    """It runs the completion script that lies beside the plugin."""
    tenant.apply_api_token()
    plugin = plugin_of("view")
    command = [f"{plugin.folder}/kubectl", "__complete", "pipedrive", "status", "-n", tenant.namespace, ""]

    done = subprocess.run(command, env=plugin.environment(), capture_output=True, text=True, check=True, timeout=60)

    assert "acme\n:4\n" == done.stdout


def test_json_is_the_resource_itself(tenant: Tenant, plugin_of: UserOf) -> None:
    """It is printed as kubectl prints it, also as YAML."""
    tenant.apply_api_token()
    tenant.wait_until_published()
    plugin = plugin_of("view")

    assert '"kind": "PipedriveCredential"' in plugin("status", "acme", "-o", "json").out
    assert "kind: PipedriveCredential\n" in plugin("status", "acme", "-o", "yaml").out


def test_a_name_or_a_namespace_that_does_not_exist_is_named(tenant: Tenant, plugin_of: UserOf) -> None:
    """A bare `kubectl get` prints an empty list for a namespace that does not exist."""
    plugin = plugin_of("edit")

    assert 'pipedrivecredentials.pipedrive-operator.io "nope" not found' in plugin("status", "nope").err
    administrator = Plugin(folder=plugin.folder, kubeconfig=tenant.cluster.kubeconfig, namespace="no-such-namespace")
    missing = administrator("status")
    assert 2 == missing.code
    assert 'namespaces "no-such-namespace" not found' in missing.err


def test_a_cluster_without_the_crd_is_recognised(bare: Plugin) -> None:
    """The message says what to check, and who can install the CRD."""
    ended = bare("status")

    assert (2, "") == (ended.code, ended.out)
    assert "CRD is not installed in this cluster" in ended.err
    checked = bare("check")
    assert (1, "") == (checked.code, checked.err)
    assert "✗ CRD" in checked.out


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--server=https://127.0.0.1:1", "The cluster cannot be reached"),
        ("--context=nope", "kubectl config get-contexts"),
        ("--user=nope", "nope"),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_explained(bare: Plugin, flag: str, message: str) -> None:
    """The explanation follows kubectl's own message."""
    ended = bare("status", flag)

    assert (2, "") == (ended.code, ended.out)
    assert message in ended.err
