"""HTTP for all adapters: TLS, connections, proxies, `Retry-After`. What a service means by an answer is not here."""
