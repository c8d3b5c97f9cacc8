"""Measures the operator with thousands of credentials and grants: `python -m benchmarks.scale --help`."""
