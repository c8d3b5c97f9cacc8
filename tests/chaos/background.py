"""A thread that does something to deployments while they are killed."""

import threading
from collections.abc import Sequence
from typing import Self

from chaos.cell import Cell


class Background:
    """Does something to some deployments in a thread, for the duration of the block."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        """Take the deployments."""
        self._cells = cells
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        """Work until `_ended` is set."""
        raise NotImplementedError
