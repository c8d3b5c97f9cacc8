"""The Kubernetes adapter: implements the ports that use the API server, and checks what the operator needs to start."""
