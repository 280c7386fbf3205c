"""A Redis that Sentinel names: with passwords, with TLS to the sentinels, and when its master dies."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from dagy_queue import ContainerRequest, DagLauncher, Phase, RunHandle
from dagy_queue.aws.clients import AwsClients
from dagy_queue.errors import RedisUnavailable
from dagy_queue.ids import AttemptId
from dagy_queue.local.free_port import HOST, free_port
from dagy_queue.local.processes import Child
from dagy_queue.local.redis_server import find_server
from dagy_queue.local.stack import LocalStack
from tests.integration.conftest import ORG, TIMEOUT, stack_of_its_own
from tests.integration.tls_proxy import certificate, tls_before
from tests.integration.waiting import eventually, until_phase

STUB = ContainerRequest(org_id=ORG, image="dagy-local/stub:latest")
MASTER = "queue"
OF_REDIS, OF_SENTINELS = "of-redis", "of-sentinels"
QUICK = {
    "DAGY_QUEUE__DISPATCH__LEASE_SECONDS": "5",
    "DAGY_QUEUE__REDIS__SOCKET_TIMEOUT": "2",
    "DAGY_QUEUE__BRIDGE__WAIT_SECONDS": "1",
    "DAGY_QUEUE__BRIDGE__VISIBILITY_TIMEOUT": "2",
    "DAGY_QUEUE__RECONCILER__INTERVAL": "0.5",
    "DAGY_QUEUE__RECONCILER__MESSAGE_PATIENCE": "2",
}


class Watched:
    """A master, its replica and a sentinel that watches both; each wants a password."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ends = ExitStack()
        self.port = free_port()
        self.master_port, self.replica_port = free_port(), free_port()

    def __enter__(self) -> Watched:
        self.master = self._redis("master", self.master_port)
        self._redis("replica", self.replica_port, "--replicaof", f"{HOST} {self.master_port}")
        eventually(lambda: self.info(self.replica_port, "master_link_status") == "up", "the replica follows")
        config = self._directory / "sentinel.conf"
        said = {
            "monitor": f"{HOST} {self.master_port} 1",
            "auth-pass": OF_REDIS,
            "down-after-milliseconds": "500",
            "failover-timeout": "5000",
        }
        lines = [f"sentinel {name} {MASTER} {value}" for name, value in said.items()]
        own = [f"port {self.port}", f"bind {HOST}", f"dir {self._directory}", f"requirepass {OF_SENTINELS}"]
        config.write_text("\n".join([*own, *lines, ""]), encoding="utf-8")
        self._server("sentinel", str(config), "--sentinel")
        eventually(lambda: self._told("num-slaves") == "1", "the sentinel knows both")
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def master_now(self) -> int:
        """Return the port of the master that the sentinel names."""
        return int(self._told("port"))

    def info(self, port: int, name: str) -> object:
        try:
            with redis.Redis(HOST, port, password=OF_REDIS) as client:
                return client.info("replication").get(name)
        except redis.RedisError:
            return None

    def until_replicated(self) -> None:
        """Wait until the replica has all that the master has."""

        def same() -> bool:
            offset = self.info(self.master_port, "master_repl_offset")
            return offset is not None and offset == self.info(self.replica_port, "slave_repl_offset")

        eventually(same, "the replica has everything")

    def _told(self, name: str) -> str:
        try:
            with redis.Redis(HOST, self.port, password=OF_SENTINELS, decode_responses=True) as client:
                found = client.execute_command("SENTINEL", "MASTER", MASTER)
        except redis.RedisError:
            return ""
        told = found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))
        return str(told.get(name, ""))

    def _redis(self, name: str, port: int, *arguments: str) -> Child:
        directory = self._directory / name
        directory.mkdir()
        own = ["--port", str(port), "--bind", HOST, "--dir", str(directory), "--appendonly", "yes", "--save", ""]
        return self._server(name, *own, "--requirepass", OF_REDIS, "--masterauth", OF_REDIS, *arguments)

    def _server(self, name: str, *arguments: str) -> Child:
        child = Child(name, [str(find_server()), *arguments], log=self._directory / f"{name}.log")
        self._ends.callback(child.stop)
        return child


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with stack_of_its_own(tmp_path_factory.mktemp("sentinel")) as running:
        yield running


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with Watched(tmp_path) as found:
        yield found


class Scene:
    """A producer, a dispatcher and a bridge whose Redis a sentinel names."""

    def __init__(self, stack: LocalStack, url: str, password: str = OF_SENTINELS) -> None:
        self.stack = stack
        self.environment = {
            **QUICK,
            "DAGY_REDIS_URL": url,
            "DAGY_QUEUE__REDIS__SENTINEL_MASTER": MASTER,
            "DAGY_QUEUE__REDIS__SENTINEL_PASSWORD": password,
        }
        redis_settings = {"url": url, "sentinel_master": MASTER, "sentinel_password": password, "socket_timeout": 2.0}
        self.launcher = DagLauncher(stack.settings(redis=redis_settings))
        self.ecs = AwsClients(stack.settings().aws).ecs_control

    def __enter__(self) -> Scene:
        self.processes = [
            self.stack.spawn(name, label=name, environment=self.environment) for name in ("dispatcher", "bridge")
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("dispatcher", "bridge"):
            self.stack.end(name)

    def tasks_of(self, run: RunHandle) -> int:
        query = {"cluster": "dagy", "startedBy": AttemptId(run.run_id, 1).started_by}
        return sum(len(self.ecs.list_tasks(**query, desiredStatus=s)["taskArns"]) for s in ("RUNNING", "STOPPED"))


def ended(run: RunHandle) -> bool:
    """Tell whether a run has ended well; while there is no master nobody can say."""
    try:
        return bool(run.get(timeout=1)["exit_code"] == 0)
    except (RedisUnavailable, TimeoutError):
        return False


def test_runs_published_before_a_failover_complete_after_it(stack: LocalStack, watched: Watched) -> None:
    with Scene(stack, f"sentinel://:{OF_REDIS}@{HOST}:{watched.port}/0") as scene:
        running = scene.launcher.enqueue(STUB.model_copy(update={"command": ("6", "0")}))
        until_phase(running, Phase.RUNNING)
        dispatcher = scene.processes[0]
        os.kill(dispatcher.pid, signal.SIGSTOP)
        queued = [scene.launcher.enqueue(STUB) for _ in range(10)]
        watched.until_replicated()
        watched.master.kill()
        os.kill(dispatcher.pid, signal.SIGCONT)
        eventually(lambda: watched.master_now() == watched.replica_port, "the sentinel has made the replica master")
        for run in (running, *queued):
            eventually(lambda run=run: ended(run), f"run {run.run_id} has ended", TIMEOUT)
            assert scene.tasks_of(run) == 1
        assert [child.poll() for child in scene.processes] == [None, None]
        assert scene.launcher.enqueue(STUB).get(timeout=TIMEOUT)["exit_code"] == 0


def test_sentinels_that_take_tls_are_asked_by_tls(stack: LocalStack, watched: Watched, tmp_path: Path) -> None:
    made = certificate(tmp_path)
    with tls_before(watched.port, made, tmp_path) as port:
        address = f"sentinel://:{OF_REDIS}@{HOST}:{port}/0?tls=sentinels"
        with pytest.raises(RedisUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            Scene(stack, address).launcher.enqueue(STUB)
        with Scene(stack, f"{address}&ssl_ca_certs={made.file}") as scene:
            assert scene.launcher.enqueue(STUB).get(timeout=TIMEOUT)["exit_code"] == 0


FAKE_SENTINEL = """
import asyncio, sys

host, port, master = sys.argv[1:]
STATE = {"name": "queue", "ip": host, "port": master, "flags": "master", "num-other-sentinels": "0"}

def bulk(text):
    return f"${len(text)}\\r\\n{text}\\r\\n"

async def serve(reader, writer):
    while line := await reader.readline():
        words = []
        for _ in range(int(line[1:])):
            await reader.readline()
            words.append((await reader.readline()).strip().upper())
        told = [bulk(part) for pair in STATE.items() for part in pair]
        asked = words[:2] == [b"SENTINEL", b"MASTERS"]
        writer.write((f"*1\\r\\n*{len(told)}\\r\\n{''.join(told)}" if asked else "+OK\\r\\n").encode())
        await writer.drain()
    writer.close()

async def main():
    async with await asyncio.start_server(serve, host, int(port)) as listening:
        print("listening", flush=True)
        await listening.serve_forever()

asyncio.run(main())
"""
"""A sentinel that names the port of a proxy: the servers at hand take no TLS, so no real one can name one that does."""


def test_a_redis_that_takes_tls_is_found_by_sentinels_that_do(stack: LocalStack, tmp_path: Path) -> None:
    made, port = certificate(tmp_path), free_port()
    with tls_before(stack.redis.port, made, tmp_path) as redis_port, tls_before(port, made, tmp_path) as sentinel_port:
        command = [sys.executable, "-c", FAKE_SENTINEL, HOST, str(port), str(redis_port)]
        sentinel = Child("sentinel", command, log=tmp_path / "sentinel.log")
        try:
            eventually(lambda: "listening" in sentinel.log.read_text(), "the sentinel listens")
            url = f"sentinel://{HOST}:{sentinel_port}/0?tls=all&ssl_ca_certs={made.file}"
            with Scene(stack, url) as scene:
                assert scene.launcher.enqueue(STUB).get(timeout=TIMEOUT)["exit_code"] == 0
        finally:
            sentinel.stop()


def test_a_wrong_password_of_the_sentinels_is_told(stack: LocalStack, watched: Watched) -> None:
    address = f"sentinel://:{OF_REDIS}@{HOST}:{watched.port}/0"
    for wrong in ("", "guessed"):
        with pytest.raises(
            RedisUnavailable,
            match=r"no sentinel names a master 'queue': .*(Authentication required|invalid username-password)",
        ):
            Scene(stack, address, wrong).launcher.enqueue(STUB)
