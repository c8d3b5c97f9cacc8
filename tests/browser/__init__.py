"""Tests of the consent pages in a real browser."""
