"""Starts the real services that the operator depends on, and a simulator of Pipedrive, which cannot be run locally."""
