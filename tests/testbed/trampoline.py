"""Executes the program on its command line, after requesting that Linux kill it together with its parent.

It is a separate script because `preexec_fn` is not safe in a parent with threads.
It must not import anything from the project.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html


def main() -> None:
    """Read the parent's process id and a command from the arguments, and execute the command; never return."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        # The parent died before the request above took effect.
        sys.exit("the parent process is gone")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
