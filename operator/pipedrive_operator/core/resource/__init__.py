"""The PipedriveCredential resource as types."""
