"""Everything that can be wrong around the operator, struck at once on real parts, watched and mended."""
