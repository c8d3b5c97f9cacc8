"""Generates the CustomResourceDefinition of PipedriveCredential as YAML."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipedrive_operator.crd import custom_resource_definition

PATH = Path(__file__).parents[2] / "crds" / "pipedrivecredentials.yaml"

_HEADER = """\
# Generated from operator/pipedrive_operator/core/resource/ and operator/pipedrive_operator/crd/.
# Do not edit: change those, then run `python -m generated --write`.
"""


def text() -> str:
    """Return the content of the file."""
    return as_yaml(custom_resource_definition())


def as_yaml(definition: Mapping[str, Any]) -> str:
    """Return a definition as YAML, below a line that says where it comes from."""
    return _HEADER + yaml.safe_dump(definition, sort_keys=False, width=110, allow_unicode=True)
