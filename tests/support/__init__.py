"""Helpers that tests share: builders of values, and arrangements of the fakes and of the real parts."""
