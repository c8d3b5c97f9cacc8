"""The real parts that the operator's process runs on: those of the integration tests, one of each per process."""

from integration.conftest import control_plane, crd, namespace, openbao, vault_prefix  # noqa: F401  fixtures
