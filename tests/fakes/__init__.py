"""In-memory fakes of the ports, for unit tests and the simulation.

The suites of `integration/contracts` run against each fake and against the real service. A fake keeps the contract of
`ports.py` and fails on request. Behaviour that the real service does not have must not be added here:
extend the contract suite first, which shows what the real service does.
"""
