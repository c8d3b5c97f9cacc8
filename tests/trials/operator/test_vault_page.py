"""docs/vault.md: every command on the page is run, in its order, and its settings pass `check`."""

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

from testbed.certificates import Authority
from testbed.control_plane import ControlPlane
from testbed.kubectl import cluster_entry, write_token_kubeconfig
from testbed.openbao import OpenBao

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "vault.md").read_text()
RIGHTS = ROOT / "tests" / "testbed" / "rights.yaml"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HOME = "pipedrive-operator"


@dataclass(frozen=True)
class Reader:
    """A reader who follows the page: a folder, an environment, a cluster and a Vault."""

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
        """Run `check` as the operator, and return its findings about Vault."""
        config = self.folder / "settings.yaml"
        connection = settings["vault"]["connections"]["default"]
        token = self.folder / "operator-token"
        token.write_text(self.control_plane.service_account_token(HOME, HOME))
        kubeconfig = self.folder / "operator.kubeconfig"
        cluster = cluster_entry(self.control_plane.server, self.control_plane.ca)
        write_token_kubeconfig(kubeconfig, cluster=cluster, token=token.read_text())
        connection["address"] = self.openbao.tls_address if "caSecretRef" in connection else self.openbao.address
        connection["auth"]["serviceAccountTokenFile"] = str(token)
        kubernetes = {"kubeconfig": str(kubeconfig), "namespaces": ["crm"], "operatorNamespace": HOME}
        pipedrive = {"apiUrl": "http://127.0.0.1:1", "timeout": "1s"}
        config.write_text(yaml.safe_dump(settings | {"kubernetes": kubernetes, "pipedrive": pipedrive}))
        command = (sys.executable, "-m", "pipedrive_operator", "check", f"--config={config}", "--output=json")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return {found["step"]: found for found in json.loads(done.stdout) if found["step"].startswith("Vault")}


def blocks(language: str, page: str = PAGE) -> list[str]:
    """Return the blocks of a language, in the order of the page."""
    return [text for found, text in BLOCK.findall(page) if found == language]


def settings_with(method: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings for one team with another auth method, and their `auth` section."""
    settings: dict[str, Any] = yaml.safe_load(blocks("yaml")[0])
    connection = settings["vault"]["connections"]["default"]
    connection.update(yaml.safe_load(blocks("yaml", part(method))[0]))
    return settings, connection["auth"]


def part(method: str) -> str:
    """Return the page from the paragraph of an auth method on."""
    _, found, rest = PAGE.partition(f"\n**{method}**")
    assert found
    return rest


def failures(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the failures by step; if there are none, make sure that the capabilities below the prefix were checked."""
    wrong = {step: finding["detail"] for step, finding in found.items() if not finding["ok"]}
    assert wrong or "Vault default policy for kv/pipedrive/crm/example" in found
    return wrong


@pytest.fixture(scope="module")
def reader(control_plane: ControlPlane, crd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Provide the programs `vault` and `kubectl` and an empty Vault, and run all commands of the page."""
    assert crd is None
    folder = tmp_path_factory.mktemp("reader")
    programs = {"vault": Path(sys.executable).parent / "bao", "kubectl": control_plane.kubectl_as(folder).program}
    (folder / "bin").mkdir()
    for name, program in programs.items():
        (folder / "bin" / name).symlink_to(program)
    vault_authority, client_authority = (Authority(folder / name) for name in ("vault-authority", "client-authority"))
    client = client_authority.client("tls", user=HOME)
    (folder / "vault-ca.crt").symlink_to(vault_authority.certificate)
    (folder / "client-ca.crt").symlink_to(client_authority.certificate)
    (folder / "tls.crt").symlink_to(client.public)
    (folder / "tls.key").symlink_to(client.key)
    with OpenBao(tls=vault_authority.serving("vault", ["127.0.0.1"])) as openbao:
        environment = os.environ | {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "KUBECONFIG": str(control_plane.kubeconfig),
            "VAULT_ADDR": openbao.address,
            "VAULT_TOKEN": openbao.root_token,
        }
        made = Reader(folder, environment, control_plane, openbao)
        for commands in blocks("sh"):
            made.run(commands)
        grant(made)
        yield made
    for namespace in (HOME, "crm"):
        control_plane.kubectl("delete", "namespace", namespace, "--wait=false")
    control_plane.kubectl("delete", "clusterrolebinding", "vault-token-review", "vault-public-keys")


def grant(reader: Reader) -> None:
    """Grant the operator in both namespaces the rights that it always needs."""
    for namespace in (HOME, "crm"):
        reader.control_plane.kubectl("apply", f"--filename={RIGHTS}", f"--namespace={namespace}")
    binding = ("rolebinding", "from-home", f"--role={HOME}", f"--serviceaccount={HOME}:{HOME}")
    reader.control_plane.kubectl("create", *binding, "--namespace=crm")


def test_the_settings_for_one_team_pass(reader: Reader) -> None:
    """`check` covers the login, the mount and the capabilities below the prefix."""
    assert {} == failures(reader.check(yaml.safe_load(blocks("yaml")[0])))


@pytest.mark.parametrize("method", ["kubernetes", "jwt"])
def test_the_settings_for_tenants_pass(reader: Reader, method: str) -> None:
    """`check` logs in as the identity that the team's credential names."""
    settings, credential = (yaml.safe_load(text) for text in blocks("yaml")[1:3])
    reader.control_plane.kubectl("apply", "--filename=-", stdin=json.dumps(credential))
    settings["vault"]["connections"]["default"]["tenantAuth"]["method"] = method

    found = reader.check(settings)

    assert {} == failures(found)
    assert "Vault default login of ServiceAccount crm/pipedrive with role crm" in found


def test_the_settings_for_approle_pass(reader: Reader) -> None:
    """The reader inserts the role_id that a command of the page prints."""
    settings, auth = settings_with("AppRole")
    role_id = reader.openbao.request("GET", "auth/approle/role/pipedrive-operator/role-id")["data"]["role_id"]
    auth["roleId"] = role_id

    assert {} == failures(reader.check(settings))


def test_the_settings_for_jwt_pass(reader: Reader) -> None:
    """The volume of the page mounts the token at the path in the settings, with the audience that Vault expects."""
    settings, auth = settings_with("JWT")
    values = yaml.safe_load(blocks("yaml", part("JWT"))[1])
    volume, mount = values["extraVolumes"][0], values["extraVolumeMounts"][0]
    token = volume["projected"]["sources"][0]["serviceAccountToken"]
    container = {"name": "operator", "image": "operator", "volumeMounts": [mount]}
    spec = {"serviceAccountName": HOME, "containers": [container], "volumes": [volume]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": spec}
    where = ("--dry-run=server", f"--namespace={HOME}", "--filename=-")
    assert "created" in reader.control_plane.kubectl("create", *where, stdin=json.dumps(pod))
    assert auth["jwtFile"] == f"{mount['mountPath']}/{token['path']}"

    jwt = reader.folder / "jwt"
    jwt.write_text(reader.control_plane.service_account_token(HOME, HOME, audience=token["audience"]))
    auth["jwtFile"] = str(jwt)

    assert {} == failures(reader.check(settings))


@pytest.mark.parametrize("method", ["TLS certificate", "Token"])
def test_the_settings_with_secrets_pass(reader: Reader, method: str) -> None:
    """The settings are used unchanged."""
    settings, _ = settings_with(method)

    assert {} == failures(reader.check(settings))


@pytest.mark.parametrize(
    ("remove", "step", "remedy"),
    [
        ("vault policy delete pipedrive-operator", "Vault default mount kv", "allow paths below it"),
        (
            "vault delete auth/kubernetes/role/pipedrive-operator",
            "Vault default login",
            "vault read auth/kubernetes/role",
        ),
    ],
)
def test_check_explains_what_is_missing(reader: Reader, remove: str, step: str, remedy: str) -> None:
    """The finding says what to do."""
    reader.run(remove)

    finding = reader.check(yaml.safe_load(blocks("yaml")[0]))[step]

    assert not finding["ok"]
    assert remedy in finding["detail"]
