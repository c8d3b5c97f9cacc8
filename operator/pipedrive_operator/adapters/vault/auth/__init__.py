"""How the operator and its tenants log in to Vault: the methods, and the session that keeps a login alive."""
