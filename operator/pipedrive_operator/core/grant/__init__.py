"""What Vault keeps: documents, tokens and grants, and the state of a refresh."""
