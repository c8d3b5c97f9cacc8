"""HTTP for all adapters: TLS, connections, proxies, `Retry-After`. Each adapter decides what an answer means."""
