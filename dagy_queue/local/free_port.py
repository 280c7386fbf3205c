"""Ports for servers that start a moment later, and may be restarted there: Redis, Flower, and what tests run.

``up`` also asks whether the ports that it is told are free (``local/port_check.py``).
"""

from __future__ import annotations

import errno
import secrets
import socket

from dagy_queue.errors import LocalStackError

HOST = "127.0.0.1"
_PORTS = range(15_000, 30_000)
"""Below those that Linux (ip(7), ip_local_port_range) and macOS give to outgoing connections.

One of these may be given away before the server listens, or while it is restarted; a client that goes on calling its
server there may even be connected to itself.
"""
_TRIES = 1000


def free_port() -> int:
    """Return a port on loopback that nobody has, and that no outgoing connection gets. Raises LocalStackError."""
    for _ in range(_TRIES):
        if is_free(port := secrets.choice(_PORTS)):
            return port
    raise LocalStackError(f"no free port on {HOST} from {_PORTS.start} to {_PORTS.stop - 1}: end what has them all")


def is_free(port: int) -> bool:
    """Tell whether a port of loopback can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as exc:
            if exc.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True
