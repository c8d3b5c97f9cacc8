"""The CRD on an API server of tests."""

from pathlib import Path
from typing import Final

from testbed.control_plane import ControlPlane

CRD: Final = Path(__file__).parents[2] / "crds" / "pipedrivecredentials.yaml"


def install_crd(cluster: ControlPlane) -> None:
    """Apply the CRD, whatever was there before, and wait until it is served. Raises KubectlError."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={CRD}")
    cluster.kubectl("wait", "--for=condition=Established", f"--filename={CRD}", "--timeout=30s")
