"""How requests travel to Vault: connection, TLS, circuit breaker and limits. What they mean is decided above."""
