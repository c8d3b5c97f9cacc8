"""Generates the CustomResourceDefinition of PipedriveConsent as YAML."""

from pathlib import Path

from generated.crd_file import as_yaml
from pipedrive_operator.crd import consent_definition

PATH = Path(__file__).parents[2] / "crds" / "pipedriveconsents.yaml"


def text() -> str:
    """Return the content of the file."""
    return as_yaml(consent_definition())
