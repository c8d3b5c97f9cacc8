"""`kubectl pipedrive connect` with a real operator: a credential without a grant becomes one that publishes a token."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import pytest

from support import plugin as plugins
from support.operated import Json
from support.plugin import Plugin
from support.tenant import Tenant, eventually
from testbed.openbao import OpenBao
from testbed.operator_process import OperatorProcess
from testbed.pipedrive.client import ControlClient
from testbed.processes import free_port

SCOPES = ["base", "deals:full"]
ELSEWHERE = "https://intranet.example.com/done"


@pytest.fixture(scope="module")
def apps(pipedrive: ControlClient, openbao: OpenBao) -> Json:
    """Register an app for each way in which an answer arrives, and return the settings of the apps."""
    found = {}
    for name, redirect_uri in (("loopback", f"http://localhost:{free_port()}/callback"), ("paste", ELSEWHERE)):
        app = pipedrive.command("add-app", redirect_uri=redirect_uri, scopes=SCOPES)
        path = f"pipedrive/apps/{name}"
        openbao.write_secret(path, {"client_id": app["client_id"], "client_secret": app["client_secret"]})
        found[name] = {"path": path, "allowedNamespaces": ["*"], "redirectUri": redirect_uri}
    return found


@pytest.fixture(scope="module")
def operator(
    settings: Callable[[str], Json], crd: None, apps: Json, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """Run an operator that handles consents."""
    assert crd is None
    folder = tmp_path_factory.mktemp("connecting")
    chosen = settings(folder.name)
    chosen["consent"] = {"enabled": True}
    chosen["pipedrive"]["apps"] = apps
    with OperatorProcess(chosen, folder=folder) as running:
        yield running


@pytest.fixture
def editor(tmp_path_factory: pytest.TempPathFactory, tenant: Tenant) -> Plugin:
    """Return the plugin of someone with the role `edit`."""
    folder = tmp_path_factory.mktemp("plugin")
    plugins.install(folder)
    plugins.create_roles(tenant.cluster)
    kubeconfig = plugins.user(tenant.cluster, f"jane-{tenant.namespace}", namespace=tenant.namespace, role="edit")
    return Plugin(folder=folder, kubeconfig=kubeconfig, namespace=tenant.namespace)


@contextmanager
def connecting(tenant: Tenant, plugin: Plugin, app: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Apply a credential without a grant, and run `connect` for it."""
    grant = {"path": tenant.path("acme")}
    tenant.apply(
        "acme", {"oauth2": {"client": {"app": app}, "grant": grant}, "account": {"companyDomain": tenant.domain}}
    )
    log = tenant.cluster.folder / f"{tenant.namespace}.out"
    flags = (f"--namespace={tenant.namespace}", "--no-browser")
    command = [f"{plugin.folder}/kubectl-pipedrive", "connect", "acme", *flags]
    pipe, merged = subprocess.PIPE, subprocess.STDOUT
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, env=plugin.environment(), stdin=pipe, stdout=output, stderr=merged, text=True
        ) as process,
    ):
        try:
            yield process, log
        finally:
            process.kill()


def accepted(tenant: Tenant, output: Path) -> str:
    """Accept as the company's user on Pipedrive's page, and return the address that the browser is sent to."""
    link = urlsplit(eventually(lambda: re.search(r"http://\S+/oauth/authorize\S+", output.read_text())).group())
    connection = HTTPConnection(link.netloc, timeout=10)
    form = urlencode({"decision": "accept", "user": f"{tenant.company_id}:{tenant.user_id}"})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", f"{link.path}?{link.query}", body=form, headers=headers)
    location = connection.getresponse().headers["Location"]
    connection.close()
    return str(location)


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("app", ["loopback", "paste"])
def test_a_person_connects_an_account(tenant: Tenant, editor: Plugin, app: str) -> None:
    """The command ends when the Secret holds the token of that person's company."""
    with connecting(tenant, editor, app) as (process, output):
        address = accepted(tenant, output)
        if app == "paste":
            assert process.stdin is not None
            process.stdin.write(f"{address}\n")
            process.stdin.flush()
        else:
            with urlopen(address, timeout=10) as page:
                assert b"Return to the terminal" in page.read()
        assert 0 == process.wait(timeout=60), output.read_text()

    shown = output.read_text()
    assert f"Connected to {tenant.domain}.pipedrive.com (company {tenant.company_id})" in shown
    assert f"Secret {tenant.namespace}/acme is published." in shown
    assert tenant.stored("acme")["access_token"] == tenant.wait_until_published()["access_token"]
    assert not re.search(r"code=", shown)
