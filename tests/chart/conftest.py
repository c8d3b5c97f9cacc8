"""The chart, the programs that check it, and a real API server with the kinds that it may use."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipedrive_operator.adapters.kubernetes.crd_version import CRD_NAME
from support.chart import CHART
from testbed import binaries
from testbed.control_plane import ControlPlane
from testbed.helm import Helm

ROOT = Path(__file__).parents[2]
PROGRAMS = ("helm", "helm-unittest", "kubeconform")

Manifest = dict[str, Any]


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> dict[str, Path]:
    """Find or build the programs; building takes two minutes, and shows progress."""
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        return binaries.ensure(*PROGRAMS, *binaries.TESTS_NEED)


@pytest.fixture(scope="session")
def control_plane(programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Run a control plane with the operator's CRD and those of the Prometheus operator."""
    assert programs
    with ControlPlane(folder=tmp_path_factory.mktemp("control-plane")) as running:
        for path in (ROOT / "crds", ROOT / "tests" / "chart" / "crds"):
            running.kubectl("apply", "--server-side", f"--filename={path}")
        for name in (CRD_NAME, "servicemonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com"):
            running.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=30s")
        yield running


@pytest.fixture(scope="session")
def helm(programs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Return Helm without a cluster."""
    return Helm(programs["helm"], tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def render(helm: Helm) -> Callable[..., list[Manifest]]:
    """Render the chart as release `x` in namespace `ops`."""

    def rendered(*arguments: str) -> list[Manifest]:
        text = helm("template", "x", str(CHART), "--namespace=ops", *arguments)
        return [one for one in yaml.safe_load_all(text) if one]

    return rendered
