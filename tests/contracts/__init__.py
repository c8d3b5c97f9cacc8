"""For each port two parts that promise the same: the model of the simulation, and the adapter with the real thing.

Here is how a test arranges each of them; what they promise is in `integration/contracts`, one body for both. Where they
differ the model is wrong.
"""
