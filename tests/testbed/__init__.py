"""Starts the real parts the operator stands on, and a simulator of the one that cannot be had."""
