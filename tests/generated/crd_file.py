"""Writes the CustomResourceDefinition as YAML."""

from pathlib import Path

import yaml

from pipedrive_operator.crd import crd

PATH = Path(__file__).parents[2] / "crds" / "pipedrivecredentials.yaml"

_HEADER = """\
# Generated from operator/pipedrive_operator/core/resource/credential.py and operator/pipedrive_operator/crd/.
# Do not edit: change those, and run `python -m generated --write`.
"""


def text() -> str:
    """Return what the file has to hold."""
    return _HEADER + yaml.safe_dump(crd(), sort_keys=False, width=110, allow_unicode=True)
