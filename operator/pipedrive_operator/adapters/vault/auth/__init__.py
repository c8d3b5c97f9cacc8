"""How the operator and its tenants log in to Vault: the auth methods, and the session that keeps a login alive."""
