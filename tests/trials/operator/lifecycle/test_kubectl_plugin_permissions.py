"""Every command of `kubectl pipedrive` on a real API server, for the role `edit`, the role `view` and a stranger."""

from pathlib import Path

import pytest

from support import plugin as plugins
from support.plugin import Plugin
from support.plugin_world import private_copy
from support.tenant import Tenant
from testbed.control_plane import ControlPlane

pytestmark = pytest.mark.usefixtures("operator")
DENIED = 2
COMMANDS = {
    # the exit codes for the role `edit`, the role `view`, and a stranger
    "status": (0, 0, DENIED),
    "status -o wide": (0, 0, DENIED),
    "status acme": (0, 0, DENIED),
    "status acme -o json": (0, 0, DENIED),
    "status acme -o yaml": (0, 0, DENIED),
    "status -l team=none": (0, 0, DENIED),
    "status nope": (DENIED, DENIED, DENIED),
    "status -A": (DENIED, DENIED, DENIED),
    "check": (0, 0, 1),
    "check acme": (0, 0, DENIED),
    "refresh acme --wait": (0, DENIED, DENIED),
    "refresh --all --verify-only --wait": (0, DENIED, DENIED),
    "suspend acme": (0, DENIED, DENIED),
    "resume acme": (0, 0, DENIED),  # for the role `view` it is not suspended, so nothing is written
    "connect acme --lifetime=30d": (DENIED, DENIED, DENIED),  # wrong usage; other tests connect, or lack the right
    "explain Published": (0, 0, 0),
    "explain": (0, 0, 0),
    "new api-token initech": (0, 0, 0),
    "new oauth2 initech": (0, 0, 0),
    "migrate n8n export.json": (0, 0, 0),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, control_plane: ControlPlane) -> Path:
    """Build the plugin, and create the roles of people."""
    path = tmp_path_factory.mktemp("plugin")
    plugins.install(path)
    plugins.create_roles(control_plane)
    return path


@pytest.mark.parametrize("role", ["edit", "view", None])
def test_each_command_ends_as_the_permissions_allow(
    tenant: Tenant, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str | None
) -> None:
    """What is denied says so, with the next step, and prints no result. No output contains a secret value."""
    tenant.apply_oauth2()
    token = tenant.wait_until_published()["access_token"]
    monkeypatch.chdir(tmp_path)
    private_copy(Path("export.json"))
    column = ("edit", "view", None).index(role)
    name = f"{role}-{tenant.namespace}"
    kubeconfig = plugins.user(tenant.cluster, name, namespace=tenant.namespace, role=role)
    plugin = Plugin(folder=folder, kubeconfig=kubeconfig, namespace=tenant.namespace)

    for line, codes in COMMANDS.items():
        ended = plugin(*line.split())

        assert codes[column] == ended.code, (line, ended)
        assert not [secret for secret in (token, "made-up") if secret in ended.out + ended.err], line
        if ended.code == DENIED:
            assert ended.err, line
            assert "" == ended.out or line == "check acme", line
        if "(Forbidden)" in ended.err:
            assert 1 == ended.err.count("(Forbidden)"), line
            step = "in place of -A" if line == "status -A" else "Ask an administrator of the namespace"
            assert step in ended.err, line
    assert "" == tenant.kubectl("get", "pdcon", "--output=name")
