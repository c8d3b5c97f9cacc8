"""Measures how fast and how large the operator is, on the machine at hand: `python -m benchmarks --help`."""
