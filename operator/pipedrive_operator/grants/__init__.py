"""The keeper of refresh tokens. It implements docs/refresh-protocol.md, step by step, and nothing else.

`keeper.py` runs one refresh or exchange per grant and wakes the credentials that wait for it; `protocol.py` is the
refresh itself, and `exchange.py` the exchange of the code of a consent.
"""

from pipedrive_operator.grants.keeper import GrantKeeper
from pipedrive_operator.grants.protocol import RefreshProtocol
from pipedrive_operator.grants.values import RefreshOrder

__all__ = ["GrantKeeper", "RefreshOrder", "RefreshProtocol"]
