"""Generates the chart's copy of the CustomResourceDefinition of PipedriveConsent."""

from pathlib import Path

from generated import consent_crd_file

PATH = Path(__file__).parents[2] / "charts" / "pipedrive-operator" / "files" / "pipedriveconsents.yaml"


def text() -> str:
    """Return the content of the file."""
    return consent_crd_file.text()
