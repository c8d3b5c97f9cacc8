"""Attacks one operator from a hostile namespace, and checks that no honest namespace notices.

No code of the operator is imported here. What the honest namespaces notice is seen from outside: by watches of their
Secrets, by the process's memory, by the Lease, and by what a user with the ClusterRole `view` can read. `verdict`
draws the conclusions, and is pure.
"""
