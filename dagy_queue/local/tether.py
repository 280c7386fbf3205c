"""Runs a command that ends with its parent: ``python tether.py PARENT_PID SIGNAL COMMAND...``.

Standard library only, and run as a file with ``-I -S``: it stands before every child of the local stack and must cost
nothing. On Linux the kernel sends the signal when the parent dies; elsewhere the command just runs.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask for the signal, then become the command."""
    parent, number, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:
            # The parent died before the kernel was asked.
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
