"""Generates the CustomResourceDefinition as YAML."""

from pathlib import Path

import yaml

from pipedrive_operator.crd import custom_resource_definition

PATH = Path(__file__).parents[2] / "crds" / "pipedrivecredentials.yaml"

_HEADER = """\
# Generated from operator/pipedrive_operator/core/resource/ and operator/pipedrive_operator/crd/.
# Do not edit: change those, then run `python -m generated --write`.
"""


def text() -> str:
    """Return the content of the file."""
    return _HEADER + yaml.safe_dump(custom_resource_definition(), sort_keys=False, width=110, allow_unicode=True)
