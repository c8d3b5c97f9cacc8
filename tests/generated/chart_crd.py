"""Generates the chart's copy of the CustomResourceDefinition: a chart can only read files in its own directory."""

from pathlib import Path

from generated import crd_file

PATH = Path(__file__).parents[2] / "charts" / "pipedrive-operator" / "files" / "pipedrivecredentials.yaml"


def text() -> str:
    """Return the content of the file."""
    return crd_file.text()
