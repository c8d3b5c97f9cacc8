"""Decisions as pure functions over values; no clock, no input or output, no framework may enter here."""
