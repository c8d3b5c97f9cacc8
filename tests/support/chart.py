"""The chart, and the values that the tests install it with."""

from pathlib import Path

CHART = Path(__file__).parents[2] / "charts" / "pipedrive-operator"
MATRIX = sorted((CHART / "ci").glob("*-values.yaml"))
