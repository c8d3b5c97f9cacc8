"""A deterministic simulation of operators, Vault, Pipedrive and API servers: one seed is one run of bad luck.

`simulated_world.py` plays it. `promises.py` says what must hold after every effect, together with `sending.py` and
`consent_judge.py`, which judge what is sent and what becomes of a consent. `mutants` switches off one rule at a time.
What hvac, httpx and kopf do is not simulated: the contract suites and real processes prove that.
"""
