"""Kills, stops and cuts off operators that run as real processes, and checks that no refresh token is lost or reused.

No code of the operator is imported here. The evidence comes from the other parts: the simulator's ledger, and the
audit logs of OpenBao and the API server. `judgement` and `counts` draw the conclusions from it, and are pure.
"""
