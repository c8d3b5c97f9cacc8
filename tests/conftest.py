"""Hypothesis profiles for all tests.

Property tests of readers (see `support/properties.py`) play 1,000 inputs by default. `make soak` runs the same tests
with `--hypothesis-profile=soak`, which plays 100,000.
"""

from hypothesis import settings

settings.register_profile("soak", max_examples=100_000, deadline=None)
