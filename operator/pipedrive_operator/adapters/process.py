"""The name of this process, and unique names for what it does. The only source of randomness in the operator."""

import socket
import uuid


class SystemProcess:
    """Implements `ports.Process`."""

    def __init__(self) -> None:
        """Name this process after its pod, with a suffix that distinguishes it from the pod's earlier processes."""
        self._holder = f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"

    @property
    def holder(self) -> str:
        """The unique name of this process."""
        return self._holder

    def new(self) -> str:
        """Return a random name."""
        return uuid.uuid4().hex
