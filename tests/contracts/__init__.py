"""Two implementations of each port: the fake, and the adapter connected to the real thing.

This package arranges both for a test. The suites in `integration/contracts` state what a port promises, and run against
both; where they differ, the fake is wrong.
"""
