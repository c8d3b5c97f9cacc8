"""The adapter of Vault and OpenBao: KV version 2 documents through hvac over httpx.

Every status code and every failure of the network ends in this package and becomes one of our errors.
"""

from pipedrive_operator.adapters.vault.connections import VaultServers

__all__ = ["VaultServers"]
