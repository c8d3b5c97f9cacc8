"""The keeper of refresh tokens. It implements docs/refresh-protocol.md, step by step, and nothing else.

`keeper.py` runs one refresh per grant and wakes the credentials that wait for it; `protocol.py` is the refresh itself.
"""

from pipedrive_operator.grants.keeper import GrantKeeper
from pipedrive_operator.grants.protocol import RefreshProtocol
from pipedrive_operator.grants.values import RefreshOrder

__all__ = ["GrantKeeper", "RefreshOrder", "RefreshProtocol"]
