"""The adapter of the API server: the ports for Secrets and credentials, and what starting up has to ask."""
