"""The keeper of refresh tokens: section by section what docs/refresh-protocol.md promises, and nothing else.

`keeper.py` runs one flight for each grant and tells who waits; `protocol.py` is the flight itself.
"""

from pipedrive_operator.grants.keeper import GrantKeeper
from pipedrive_operator.grants.protocol import RefreshProtocol
from pipedrive_operator.grants.values import RefreshOrder

__all__ = ["GrantKeeper", "RefreshOrder", "RefreshProtocol"]
