"""One credential's pass: observe, decide, act, report."""
