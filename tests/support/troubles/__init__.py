"""Everything that can go wrong around the operator: caused at the same time on real parts, recorded, and fixed."""
