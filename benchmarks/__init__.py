"""Measures the speed and the memory of the operator on this machine: `python -m benchmarks --help`."""
