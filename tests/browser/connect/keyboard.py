"""A terminal in which a person types a command: what they see and type, and the address that their browser opens."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from support.tenant import eventually

_COLUMNS: Final = 110
_ROWS: Final = 40
_CTRL_C: Final = b"\x03"
_OPENER: Final = """\
#!/bin/sh
printf %s "$1" >"$0.address"
"""
"""Stands for the program that opens a person's browser; the test opens the address in the browser that it drives."""


class Keyboard:
    """One command in a terminal of its own. The command is killed at the end of the block."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], folder: Path) -> None:
        """Describe the command. A file in `folder` plays the program that opens the browser."""
        self._command = tuple(command)
        self._log = folder / "terminal.txt"
        self._opener = folder / "open-browser"
        self._opener.write_text(_OPENER)
        self._opener.chmod(0o700)
        screen = {"TERM": "xterm-256color", "DISPLAY": ":0", "BROWSER": str(self._opener)}
        self._environment = {**environment, **screen}
        self._seen = bytearray()

    def __enter__(self) -> Self:
        """Start the command, with the terminal as its controlling one, so that Ctrl-C reaches it."""
        self._master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        command = ("setsid", "--ctty", *self._command)
        self._process = subprocess.Popen(
            command, env=self._environment, stdin=terminal, stdout=terminal, stderr=terminal
        )
        os.close(terminal)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the command."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        os.close(self._master)
        self._log.write_text(self.screen)

    @property
    def screen(self) -> str:
        """What a person sees, as plain text. It is kept in the folder, too."""
        text = self._seen.decode(errors="replace").replace("\r\n", "\n")
        return re.sub(r"\x1b\[[0-9;]*m", "", text)

    def wait_for(self, text: str) -> None:
        """Wait until a person sees a text."""
        eventually(lambda: text in self.screen)

    def opened(self) -> str:
        """Return the address that the browser opens, once it does."""
        address = self._opener.with_name(f"{self._opener.name}.address")
        return eventually(lambda: address.read_text() if address.exists() else "")

    def type(self, text: str) -> None:
        """Type or paste a line, and press Enter."""
        os.write(self._master, f"{text}\n".encode())

    def press_ctrl_c(self) -> None:
        """Interrupt the command."""
        os.write(self._master, _CTRL_C)

    def exit_code(self) -> int:
        """Return how the command ends."""
        return self._process.wait(timeout=60)

    def _read(self) -> None:
        while True:
            try:
                read = os.read(self._master, 4096)
            except OSError:  # the command has ended
                return
            self._seen += read
