"""Runs the reconciler: leader election, cache, work queue, workers and resync. It decides nothing."""
