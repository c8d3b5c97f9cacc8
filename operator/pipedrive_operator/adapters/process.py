"""Who this process is, and names that nobody else uses. The one source of chance in the operator."""

import socket
import uuid


class SystemProcess:
    """Implements `ports.Process`."""

    def __init__(self) -> None:
        """Name this process after its pod, and apart from the pod's earlier processes."""
        self._holder = f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"

    @property
    def holder(self) -> str:
        """This process."""
        return self._holder

    def new(self) -> str:
        """Return a random name."""
        return uuid.uuid4().hex
