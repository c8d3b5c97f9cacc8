"""Where the chart is, and the values with which tests install it."""

from pathlib import Path

CHART = Path(__file__).parents[2] / "charts" / "pipedrive-operator"
MATRIX = sorted((CHART / "ci").glob("*-values.yaml"))
