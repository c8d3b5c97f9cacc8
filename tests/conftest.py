"""Hypothesis profiles for all tests.

A busy machine must not fail a property test, so there is no deadline and no check for slow generation. The profiles
differ only in how many inputs a property test gets: 100 while you work and in `make test`, 1,000 in `make newest`
(profile `thorough`), and 100,000 for the readers in `make soak` (profile `soak`). A reader gets 1,000 at least.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("patient"), max_examples=1_000)
settings.register_profile("soak", settings.get_profile("patient"), max_examples=100_000)
settings.load_profile("patient")
