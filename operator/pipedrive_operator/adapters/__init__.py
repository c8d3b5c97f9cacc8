"""One adapter for each outside system. An adapter decides nothing, and does not know the others."""
