"""Operators as real processes, killed, stopped and cut off: whether a refresh token is ever lost or spent twice.

Nothing of the operator is imported here. What it did is told by others: the simulator's ledger, and the audit logs of
OpenBao and of the API server. `judgement` and `counts` draw the conclusions, and are pure.
"""
