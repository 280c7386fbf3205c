"""``dagy-queue up``: what it refuses, what it starts, what it restarts, and that it leaves nothing behind."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dagy_queue.errors import LocalStackError
from dagy_queue.local.directories import held
from dagy_queue.local.free_port import free_port
from dagy_queue.local.log_follower import LogFollower
from dagy_queue.local.port_check import check_ports
from dagy_queue.local.processes import Child
from dagy_queue.local.supervisor import Service, Supervisor
from dagy_queue.local.up import UpOptions, run_up


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)
    return found


def test_a_port_in_use_is_named_with_the_flag_that_changes_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalStackError, match=rf"aws port {port} is in use.*--aws-port"):
            check_ports({"redis": 0, "aws": port})


def test_a_port_that_two_services_want_is_named_with_the_flag_that_changes_it():
    port = free_port()
    with pytest.raises(LocalStackError, match=rf"redis port {port} is aws's as well.*--redis-port"):
        check_ports({"aws": port, "redis": port, "flower": 0})
    check_ports({"aws": 0, "redis": 0})


def free_ports():
    return {"redis_port": free_port(), "aws_port": free_port(), "no_flower": True}


@pytest.mark.parametrize("option", ["log_dir", "data_dir", "env_file"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    options = UpOptions(**free_ports(), **{option: tmp_path / "file" / "below"})
    with pytest.raises(LocalStackError, match=r"cannot write \S+/file.*--data-dir and --env-file"):
        run_up(options)


@pytest.mark.parametrize("option", ["log_dir", "data_dir"])
def test_two_stacks_do_not_write_the_same_files(tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    shared = tmp_path / "shared"
    log = shared / "redis.log"
    with held(shared, "wait"):
        log.write_text("of the other one\n")
        with pytest.raises(LocalStackError, match="shared is in use by another stack that runs: stop that one, or"):
            run_up(UpOptions(**free_ports(), **{option: shared}))
    assert log.read_text() == "of the other one\n"
    with held(shared, "wait"):
        pass


def test_the_password_of_a_redis_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = f"redis://:sesame@127.0.0.1:{free_port()}/0"
    with pytest.raises(LocalStackError, match=r"no Redis answers at redis://:\*\*\*@127") as refused:
        run_up(UpOptions(**free_ports(), redis_url=url))
    assert "sesame" not in str(refused.value)


def test_a_gateway_on_the_wanted_port_is_recognised_as_a_running_stack(gateway):
    port = int(gateway.url.rsplit(":", 1)[1])
    with pytest.raises(LocalStackError, match=rf"seems to run already \(gateway process {gateway.child.pid}\)"):
        check_ports({"aws": port})


class Told(list):
    def __call__(self, text):
        self.append(text)


@pytest.fixture
def supervised(tmp_path):
    """A supervisor of one service that runs a line of Python, and what it told."""
    made = []

    def make(code, foundation=()):
        def start():
            made.append(Child("worker", [sys.executable, "-c", code], log=tmp_path / "worker.log"))
            return made[-1]

        told = Told()
        service = Service("worker", start, lambda: True)
        return Supervisor([service], foundation, told), service, told

    yield make
    for child in made:
        child.kill()


def test_a_service_that_dies_is_reported_and_restarted_ever_later(supervised):
    supervisor, service, told = supervised("print('out of luck'); raise SystemExit(3)")
    service.launch()
    for delay in (1, 2, 4):
        wait_for(lambda: service.child.poll() is not None)
        supervisor.check()
        assert f"worker ended with exit code 3, restart in {delay} s" in told[-1]
        assert "out of luck" in told[-1]
        supervisor.check()
        service.restart_at = time.monotonic()
        supervisor.check()
        assert told[-1] == "worker: starting again"


def test_a_service_that_dies_while_starting_ends_the_start(supervised):
    supervisor, service, _ = supervised("raise SystemExit(2)")
    service.ready = lambda: False
    with pytest.raises(LocalStackError, match="worker ended with exit code 2 before ready"):
        supervisor.start(10)


def test_the_death_of_the_foundation_ends_everything(supervised, tmp_path):
    redis = Child("redis", [sys.executable, "-c", "raise SystemExit(1)"], log=tmp_path / "redis.log")
    supervisor, _, _ = supervised("", foundation=[redis])
    wait_for(lambda: redis.poll() is not None)
    with pytest.raises(LocalStackError, match="redis ended with exit code 1"):
        supervisor.check()
    redis.kill()


def test_logs_are_followed_line_by_line_with_their_names(tmp_path, capsys):
    from rich.console import Console

    with LogFollower(Console(width=80), tmp_path, enabled=True), (tmp_path / "bridge.log").open("w") as log:
        log.write("first [x]\nsec")
        log.flush()
        log.write("ond\nunfinished")
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == ["bridge | first [x]", "bridge | second"]


@pytest.fixture
def up(tmp_path):
    """``dagy-queue up`` on free ports, in a directory of its own."""
    ports = {"redis": free_port(), "aws": free_port()}
    arguments = [f"--{name}-port={port}" for name, port in ports.items()]
    command = [sys.executable, "-m", "dagy_queue.operate.cli", "up", "--no-flower", *arguments]
    output = tmp_path / "output"
    with output.open("wb") as log, subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log) as process:
        process.output, process.command, process.ports = output, command, ports
        yield process
        process.kill()


def stack_processes(directory):
    """Return the processes whose output goes to the directory's logs, by log name."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            log = (process / "fd" / "1").readlink()
        except OSError:
            continue
        if log.parent == directory / ".dagy" / "logs":
            found.setdefault(log.name, []).append(int(process.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_up_runs_restarts_and_stops_the_whole_stack(up, tmp_path):
    def output():
        return up.output.read_text()

    def ready():
        assert up.poll() is None, output()
        return re.search(r"^ready$", output(), re.MULTILINE)

    wait_for(ready, 60)
    assert f"export AWS_ENDPOINT_URL=http://127.0.0.1:{up.ports['aws']}\n" in (tmp_path / ".dagy/env").read_text()
    assert stat.S_IMODE((tmp_path / ".dagy/env").stat().st_mode) == 0o600
    assert stack_processes(tmp_path).keys() >= {"redis.log", "aws.log", "dispatcher-1.log", "bridge.log"}

    again = subprocess.run(up.command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert again.returncode != 0
    assert "seems to run already" in again.stdout + again.stderr

    [bridge] = stack_processes(tmp_path)["bridge.log"]
    os.kill(bridge, signal.SIGKILL)
    wait_for(lambda: "bridge: starting again" in output())
    wait_for(lambda: stack_processes(tmp_path).get("bridge.log", [bridge]) != [bridge])

    up.send_signal(signal.SIGINT)
    assert up.wait(30) == 0
    assert stack_processes(tmp_path) == {}
