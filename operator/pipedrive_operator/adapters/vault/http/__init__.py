"""How requests reach one Vault server: limiter and circuit breaker, then transport, connection pool and TLS."""
