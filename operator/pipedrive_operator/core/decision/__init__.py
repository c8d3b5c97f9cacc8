"""What to do next for one credential, decided from an observation."""
