"""A deterministic simulation of operators, Vault, Pipedrive and API servers: one seed is one run of bad luck.

`world.py` plays it, `promises.py` says what must hold after every effect, `mutants.py` switches off one rule at a time.
What hvac, httpx and kopf do is not simulated: the contract suites and real processes prove that.
"""
