"""What one tenant stores costs the operator little memory, and keeps no other credential from its work."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.manifests import LABEL_CREDENTIAL, encoded
from support.operated import Json
from support.tenant import Tenant, eventually
from testbed.control_plane import ControlPlane
from testbed.operator_process import OperatorProcess

LARGE = 60
"""How many Secrets of nearly a megabyte the tenant has."""
MOST_MIB = 160
"""The operator uses 90 MiB without them; listed and kept as a whole, they would add 200."""


def peak_mib(operator: OperatorProcess) -> int:
    """Return the largest amount of memory that a process has used so far."""
    status = Path(f"/proc/{operator.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024


@pytest.fixture
def large_secrets(control_plane: ControlPlane, namespace: str) -> int:
    """Create many large Secrets with the operator's label, as anyone who can create Secrets may."""
    api, data = control_plane.client(), {"k": encoded("x" * 1_000_000)}
    for number in range(LARGE):
        metadata = {"name": f"large-{number}", "labels": {LABEL_CREDENTIAL: "nobody"}}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
        api.create(f"/api/v1/namespaces/{namespace}/secrets", secret)
    return LARGE


@pytest.mark.usefixtures("crd")
def test_large_secrets_with_the_operators_label_cost_little_memory(
    large_secrets: int, tenant: Tenant, settings: Callable[[str], Json], tmp_path: Path
) -> None:
    """This holds while they are listed, at the start and by each new watch, and while they are kept."""
    with OperatorProcess(settings("large-secrets"), folder=tmp_path) as operator:
        tenant.apply_api_token()
        published = tenant.wait_until_published()
        tenant.patch("secret", "acme", {"data": {"api_token": None}})
        assert eventually(lambda: tenant.secret() == published)
        peak = peak_mib(operator)

    assert large_secrets == LARGE
    assert peak < MOST_MIB, f"{peak} MiB"
