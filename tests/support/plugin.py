"""Runs `kubectl pipedrive` as a person does: kubectl finds the one-file plugin on the PATH."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from distribution import kubectl_plugin
from support.chart import CHART
from testbed import binaries
from testbed.control_plane import ControlPlane

TIMEOUT_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """The plugin, for the user of a kubeconfig."""

    folder: Path
    kubeconfig: Path
    namespace: str
    variables: Mapping[str, str] = field(default_factory=dict)
    """What the environment has as well."""

    def __call__(self, *arguments: str, stdin: str | None = None) -> Ended:
        """Run a command."""
        command = [f"{self.folder}/kubectl", "pipedrive", *arguments, f"--namespace={self.namespace}"]
        done = subprocess.run(
            command,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr)

    def environment(self) -> dict[str, str]:
        """Return the environment with the plugin and kubectl first on the PATH."""
        return os.environ | {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.folder / "cache"),
            **self.variables,
        }


def install(folder: Path) -> None:
    """Build the plugin into a folder, next to kubectl."""
    kubectl_plugin.build(folder, version="0.0.0", url="https://example.com/plugin.tar.gz")
    (folder / "kubectl").symlink_to(binaries.ensure("kubectl")["kubectl"])


def user_roles() -> dict[str, list[Any]]:
    """Return the rules that the chart adds to the roles `view` and `edit` of people."""
    template = CHART / "templates" / "clusterrole-users.yaml"
    plain = "\n".join(line for line in template.read_text().splitlines() if "{{" not in line)
    view, edit = (role["rules"] for role in yaml.safe_load_all(plain))
    return {"view": view, "edit": [*view, *edit]}


def create_roles(control_plane: ControlPlane) -> None:
    """Create ClusterRoles like those of people: Kubernetes' own `view` and `edit` with what the chart adds."""
    for name, rules in user_roles().items():
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": f"pdc-{name}"},
        }
        control_plane.kubectl("apply", "--filename=-", stdin=yaml.safe_dump({**role, "rules": rules}))


def user(control_plane: ControlPlane, name: str, *, namespace: str, role: str | None) -> Path:
    """Return the kubeconfig of a user who has a role, or none, in one namespace.

    The controller that fills the roles `view` and `edit` does not run here, so their parts are bound.
    """
    kinds = {"view": ["view"], "edit": ["view", "edit"]}
    parts = kinds[role] if role is not None else []
    roles = [f"{prefix}-{part}" for part in parts for prefix in ("pdc", "system:aggregate-to")]
    for one in roles:
        binding = ("rolebinding", f"{name}-{one.replace(':', '-')}", f"--clusterrole={one}", f"--user={name}")
        control_plane.kubectl("create", *binding, f"--namespace={namespace}")
    return control_plane.kubeconfig_for(name)
