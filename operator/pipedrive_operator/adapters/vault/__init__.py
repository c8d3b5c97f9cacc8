"""The adapter for Vault and OpenBao: KV version 2 documents, with requests built by hvac and sent through httpx.

HTTP status codes and network failures end in this package: every one of them becomes an error of
`core/values/errors.py`.
"""

from pipedrive_operator.adapters.vault.connections import VaultConnections

__all__ = ["VaultConnections"]
