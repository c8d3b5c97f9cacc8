"""The demo: the operator as its own process on real parts, and a tour of what it does."""
