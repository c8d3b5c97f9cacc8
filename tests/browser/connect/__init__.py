"""Tests of `kubectl pipedrive connect` with a real browser, operator, API server and Vault."""
