"""The machinery around the reconciler: watch, cache, queue, workers, resync. No decision is made here."""
