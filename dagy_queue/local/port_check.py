"""Finds out before anything starts whether the ports ``up`` wants are free, and says what to do if not."""

from __future__ import annotations

from collections.abc import Mapping

from dagy_queue.errors import LocalStackError
from dagy_queue.local.endpoint import health
from dagy_queue.local.free_port import HOST, is_free
from dagy_queue.local.redis_server import answers

FLAGS = {"redis": "--redis-port", "aws": "--aws-port", "flower": "--flower-port"}
"""The option of ``dagy-queue up`` that changes each port."""


def check_ports(ports: Mapping[str, int]) -> None:
    """Raise LocalStackError naming every port that is in use or wanted twice; 0 means any and is always free."""
    first = {port: service for service, port in list(ports.items())[::-1]}
    problems = [
        f"{service} port {port} is {first[port]}'s as well; choose another with {FLAGS[service]}"
        for service, port in ports.items()
        if port and first[port] != service
    ]
    problems += [
        f"{service} port {port} is in use{_by_whom(service, port)}; choose another with {FLAGS[service]}"
        for service, port in ports.items()
        if port and not is_free(port)
    ]
    if problems:
        raise LocalStackError("\n".join(problems))


def _by_whom(service: str, port: int) -> str:
    if service == "aws" and (found := health(f"http://{HOST}:{port}")):
        return f": a dagy-queue stack seems to run already (gateway process {found['pid']}), stop it first"
    if service == "redis" and answers(f"redis://{HOST}:{port}/0"):
        return f": a Redis answers there, perhaps of a stack that runs already (use it with --redis-url redis://{HOST}:{port}/0)"
    return ""
