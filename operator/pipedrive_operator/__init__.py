"""Keeps a Pipedrive credential that Pipedrive accepts in a Kubernetes Secret."""

__version__ = "0.1.0"
