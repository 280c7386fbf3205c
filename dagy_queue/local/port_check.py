"""Finds out before anything starts whether the ports ``up`` wants are free, and says what to do if not."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

from dagy_queue.errors import LocalStackError
from dagy_queue.local.endpoint import health
from dagy_queue.local.redis_server import HOST, answers

FLAGS = {"redis": "--redis-port", "aws": "--aws-port", "flower": "--flower-port"}
"""The option of ``dagy-queue up`` that changes each port."""


def check_ports(ports: Mapping[str, int]) -> None:
    """Raise LocalStackError naming every wanted port that is in use; 0 means any and is always free."""
    problems = [
        f"{service} port {port} is in use{_by_whom(service, port)}; choose another with {FLAGS[service]}"
        for service, port in ports.items()
        if port and not is_free(port)
    ]
    if problems:
        raise LocalStackError("\n".join(problems))


def is_free(port: int) -> bool:
    """Tell whether a port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as exc:
            if exc.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def _by_whom(service: str, port: int) -> str:
    if service == "aws" and (found := health(f"http://{HOST}:{port}")):
        return f": a dagy-queue stack seems to run already (gateway process {found['pid']}), stop it first"
    if service == "redis" and answers(f"redis://{HOST}:{port}/0"):
        return f": a Redis answers there, perhaps of a stack that runs already (use it with --redis-url redis://{HOST}:{port}/0)"
    return ""
