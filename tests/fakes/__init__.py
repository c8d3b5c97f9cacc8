"""Fakes of the ports, in memory: what unit tests and the simulation run on.

The suites of `integration/contracts` run against each fake and against the real part. A fake keeps the promises of
`ports.py` and fails when a test asks for it. A behaviour that the real part does not have must not be added here:
extend the contract suite first, and let the real part decide.
"""
