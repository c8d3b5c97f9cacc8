"""docs/vault.md: every command on it is run, in its order, and the settings that it shows are checked."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.control_plane import ControlPlane
from testbed.kubectl import cluster_entry, write_token_kubeconfig
from testbed.openbao import OpenBao

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "vault.md").read_text()
RIGHTS = ROOT / "tests" / "testbed" / "rights.yaml"
CRD = ROOT / "crds" / "pipedrivecredentials.yaml"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HOME = "pipedrive-operator"


@dataclass(frozen=True)
class Desk:
    """Where a person who reads the page sits."""

    folder: Path
    environment: dict[str, str]
    control_plane: ControlPlane
    openbao: OpenBao

    def run(self, commands: str) -> None:
        """Run commands as they are on the page."""
        shell = ("bash", "-euo", "pipefail", "-c", commands)
        done = subprocess.run(shell, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"

    def check(self, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Run `check` as the operator, and return what it found of Vault."""
        config = self.folder / "settings.yaml"
        connection = settings["vault"]["connections"]["default"]
        token = self.folder / "operator-token"
        token.write_text(self.control_plane.service_account_token(HOME, HOME))
        kubeconfig = self.folder / "operator.kubeconfig"
        cluster = cluster_entry(self.control_plane.server, self.control_plane.ca)
        write_token_kubeconfig(kubeconfig, cluster=cluster, token=token.read_text())
        connection["address"] = self.openbao.address
        connection["auth"]["serviceAccountTokenFile"] = str(token)
        kubernetes = {"kubeconfig": str(kubeconfig), "namespaces": ["crm"], "operatorNamespace": HOME}
        pipedrive = {"apiUrl": "http://127.0.0.1:1", "timeout": "1s"}
        config.write_text(yaml.safe_dump(settings | {"kubernetes": kubernetes, "pipedrive": pipedrive}))
        command = (sys.executable, "-m", "pipedrive_operator", "check", f"--config={config}", "--output=json")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return {found["step"]: found for found in json.loads(done.stdout) if found["step"].startswith("Vault")}


def blocks(language: str) -> list[str]:
    """Return the blocks of a language, in the order of the page."""
    return [text for found, text in BLOCK.findall(PAGE) if found == language]


@pytest.fixture(scope="module")
def desk(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Give a desk with the programs `vault` and `kubectl`, and a Vault of its own; run all commands of the page."""
    folder = tmp_path_factory.mktemp("desk")
    programs = {"vault": Path(sys.executable).parent / "bao", "kubectl": control_plane.kubectl_as(folder).program}
    (folder / "bin").mkdir()
    for name, program in programs.items():
        (folder / "bin" / name).symlink_to(program)
    with OpenBao() as openbao:
        environment = os.environ | {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "KUBECONFIG": str(control_plane.kubeconfig),
            "VAULT_ADDR": openbao.address,
            "VAULT_TOKEN": openbao.root_token,
        }
        made = Desk(folder, environment, control_plane, openbao)
        control_plane.kubectl("apply", "--server-side", f"--filename={CRD}")
        for commands in blocks("sh"):
            made.run(commands)
        grant(made)
        yield made
    for namespace in (HOME, "crm"):
        control_plane.kubectl("delete", "namespace", namespace, "--wait=false")
    control_plane.kubectl("delete", "clusterrolebinding", "vault-token-review")


def grant(desk: Desk) -> None:
    """Let the operator do in both namespaces what it always needs."""
    for namespace in (HOME, "crm"):
        desk.control_plane.kubectl("apply", f"--filename={RIGHTS}", f"--namespace={namespace}")
    binding = ("rolebinding", "from-home", f"--role={HOME}", f"--serviceaccount={HOME}:{HOME}")
    desk.control_plane.kubectl("create", *binding, "--namespace=crm")


def test_the_settings_for_one_team_lack_nothing(desk: Desk) -> None:
    """The login, the mount, and the rights below the prefix."""
    found = desk.check(yaml.safe_load(blocks("yaml")[0]))

    assert {step: finding["detail"] for step, finding in found.items() if not finding["ok"]} == {}
    assert "Vault default policy for kv/pipedrive/crm/example" in found


def test_the_settings_for_tenants_lack_nothing(desk: Desk) -> None:
    """The team's credential names an identity, which is logged in."""
    settings, credential = (yaml.safe_load(text) for text in blocks("yaml")[1:3])
    desk.control_plane.kubectl("apply", "--filename=-", stdin=json.dumps(credential))

    found = desk.check(settings)

    assert {step: finding["detail"] for step, finding in found.items() if not finding["ok"]} == {}
    assert "Vault default login of ServiceAccount crm/pipedrive with role crm" in found


def test_the_approle_of_the_page_logs_in(desk: Desk) -> None:
    """With the role_id that the page has one read, and the Secret that it has one write."""
    settings = yaml.safe_load(blocks("yaml")[0])
    auth = yaml.safe_load(blocks("yaml")[3])["auth"]
    role_id = desk.openbao.request("GET", "auth/approle/role/pipedrive-operator/role-id")["data"]["role_id"]
    settings["vault"]["connections"]["default"]["auth"] = auth | {"roleId": role_id}

    assert desk.check(settings)["Vault default login"]["ok"]


@pytest.mark.parametrize(
    ("strike", "step", "remedy"),
    [
        ("vault policy delete pipedrive-operator", "Vault default mount kv", "allow paths below it"),
        (
            "vault delete auth/kubernetes/role/pipedrive-operator",
            "Vault default login",
            "vault read auth/kubernetes/role",
        ),
    ],
)
def test_what_is_missing_is_explained(desk: Desk, strike: str, step: str, remedy: str) -> None:
    """By `check`, with what to do."""
    desk.run(strike)

    finding = desk.check(yaml.safe_load(blocks("yaml")[0]))[step]

    assert not finding["ok"]
    assert remedy in finding["remedy"]


def test_every_setting_on_the_page_exists() -> None:
    """Parts of a connection are read as such."""
    from pipedrive_operator.vault_settings import VaultConnectionSettings  # noqa: PLC0415  the rest is a process

    for text in blocks("yaml")[3:]:
        VaultConnectionSettings.model_validate({"address": "https://vault.example.com"} | yaml.safe_load(text))
