"""The commands, one module each. Each describes itself, and the help and docs/cli.md follow from that."""
