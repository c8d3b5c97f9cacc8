"""Hypothesis profiles for all tests.

A busy machine must not fail a property test, so there is no deadline and no check for slow generation. Property
tests of readers (see `support/properties.py`) run 1,000 inputs by default. `make soak` runs 100,000, by the option
`--hypothesis-profile=soak`.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", settings.get_profile("patient"), max_examples=100_000)
settings.load_profile("patient")
