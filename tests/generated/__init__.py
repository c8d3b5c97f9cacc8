"""Generators for the files that follow from the code, and tests that those files are up to date."""
