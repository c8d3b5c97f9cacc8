"""Installs the CRDs on an API server of tests."""

from pathlib import Path
from typing import Final

from testbed.control_plane import ControlPlane

_FOLDER: Final = Path(__file__).parents[2] / "crds"
CRD: Final = _FOLDER / "pipedrivecredentials.yaml"
CONSENT_CRD: Final = _FOLDER / "pipedriveconsents.yaml"


def install_crd(cluster: ControlPlane) -> None:
    """Apply the CRDs, also over another version, and wait until they are served. Raises KubectlError."""
    files = (f"--filename={CRD}", f"--filename={CONSENT_CRD}")
    cluster.kubectl("apply", "--server-side", "--force-conflicts", *files)
    cluster.kubectl("wait", "--for=condition=Established", *files, "--timeout=30s")
