"""An OAuth2 token endpoint beside a workload: it serves the access token of a mounted Secret to OAuth2 clients.

It reads files and nothing else: no API server, no Vault, no Pipedrive. Only the standard library may be imported
here, so that the sidecar starts quickly and stays small.
"""
