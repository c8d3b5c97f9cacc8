"""How namespaces share what is limited: slots for work that runs at the same time, and budgets for work over time.

What the work is, and what it costs, must not be known here.
"""
