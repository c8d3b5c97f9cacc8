"""Writes the chart's copy of the CustomResourceDefinition: a chart can read files of its own folder only."""

from pathlib import Path

from generated import crd_file

PATH = Path(__file__).parents[2] / "charts" / "pipedrive-operator" / "files" / "pipedrivecredentials.yaml"


def text() -> str:
    """Return what the file has to hold."""
    return crd_file.text()
