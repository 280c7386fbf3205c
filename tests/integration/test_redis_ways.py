"""Ways to a Redis: TLS, Sentinel and a socket, each with real servers, for a producer, a dispatcher and a bridge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from dagy_queue import ContainerRequest, DagLauncher
from dagy_queue.errors import RedisUnavailable
from dagy_queue.local.free_port import HOST, free_port
from dagy_queue.local.processes import Child
from dagy_queue.local.redis_server import RedisServer, find_server
from dagy_queue.local.stack import LocalStack
from tests.integration.conftest import ORG, TIMEOUT, let_go_of_results
from tests.integration.tls_proxy import certificate, tls_before
from tests.integration.waiting import eventually

STUB = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with LocalStack(data_dir=tmp_path_factory.mktemp("ways"), simulate=True) as running:
        yield running
        let_go_of_results()


@contextmanager
def server(tmp_path: Path, name: str, *arguments: str) -> Iterator[Child]:
    """Run a server with arguments of its own."""
    child = Child(name, [str(find_server()), *arguments], log=tmp_path / f"{name}.log")
    try:
        yield child
    finally:
        child.stop()


def works(stack: LocalStack, url: str, master: str = "mymaster") -> None:
    """Run a container by way of this Redis."""
    own = {"DAGY_REDIS_URL": url, "DAGY_QUEUE__REDIS__SENTINEL_MASTER": master}
    for name in ("dispatcher", "bridge"):
        stack.spawn(name, label=name, environment={**own, "DAGY_QUEUE__BRIDGE__WAIT_SECONDS": "1"})
    launcher = DagLauncher(stack.settings(redis={"url": url, "sentinel_master": master}))
    try:
        assert launcher.enqueue(STUB).get(timeout=TIMEOUT)["exit_code"] == 0
    finally:
        for name in ("dispatcher", "bridge"):
            stack.end(name)


def test_a_redis_with_tls(stack: LocalStack, tmp_path: Path) -> None:
    made = certificate(tmp_path)
    with tls_before(stack.redis.port, made, tmp_path) as port:
        unverified = f"rediss://{HOST}:{port}/0"
        with pytest.raises(RedisUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            DagLauncher(stack.settings(redis={"url": unverified})).enqueue(STUB)
        works(stack, f"{unverified}?ssl_cert_reqs=required&ssl_ca_certs={made.file}")


def test_a_redis_that_sentinels_name(stack: LocalStack, tmp_path: Path) -> None:
    master = RedisServer()
    master.start()
    port, config = free_port(), tmp_path / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind {HOST}\ndir {tmp_path}\nsentinel monitor queue {HOST} {master.port} 1\n", encoding="utf-8"
    )
    try:
        with server(tmp_path, "sentinel", str(config), "--sentinel"):
            asked = redis.Redis(HOST, port, decode_responses=True)
            eventually(lambda: _knows(asked), "the sentinel knows the master")
            works(stack, f"sentinel://{HOST}:{port}/0;sentinel://{HOST}:{port}/0", "queue")
    finally:
        master.stop()


def _knows(asked: redis.Redis) -> bool:
    try:
        return bool(asked.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "queue"))
    except redis.RedisError:
        return False


def test_a_redis_at_a_socket(stack: LocalStack, tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    arguments = ["--port", "0", "--unixsocket", str(path), "--dir", str(tmp_path), "--appendonly", "yes"]
    with server(tmp_path, "socket", *arguments):
        eventually(path.exists, "the socket is there")
        works(stack, f"unix://{path}?db=0")


def test_an_unhealthy_redis_is_refused_at_the_start(stack: LocalStack) -> None:
    client = redis.Redis.from_url(stack.redis_url)
    client.config_set("maxmemory", 10**9)
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        child = stack.spawn("dispatcher", label="unhealthy")
        eventually(lambda: child.poll() is not None, "it has ended")
        assert child.poll() == 1
        assert "has maxmemory-policy allkeys-lru" in child.log.read_text()
        assert "set maxmemory-policy noeviction" in child.log.read_text()
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 0)
