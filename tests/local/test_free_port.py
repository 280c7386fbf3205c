"""Ports that stay free until their server listens."""

import socket
from pathlib import Path

import pytest

from dagy_queue.errors import LocalStackError
from dagy_queue.local import free_port as module
from dagy_queue.local.free_port import HOST, free_port


def test_no_outgoing_connection_gets_one():
    lowest, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert all(free_port() < lowest for _ in range(100))


def test_a_port_that_somebody_listens_on_is_not_free(monkeypatch):
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        theirs, ours = taken.getsockname()[1], free_port()
        drawn = iter([theirs, theirs, ours])
        monkeypatch.setattr(module.secrets, "choice", lambda _: next(drawn))
        assert free_port() == ours


def test_without_any_free_port_it_says_so(monkeypatch):
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        monkeypatch.setattr(module.secrets, "choice", lambda _: taken.getsockname()[1])
        with pytest.raises(LocalStackError, match="no free port on"):
            free_port()
