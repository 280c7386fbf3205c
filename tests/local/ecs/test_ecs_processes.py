"""Containers as real processes: the fork server's, and plain ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from ecs_kit import Kit, eventually, local_ecs, run_request, with_ecs

from dagy_queue.local.ecs.runtimes.images import RuntimeKind, choose, repository

WORKER = "000000000000.dkr.ecr.us-east-1.amazonaws.com/team/dagy-worker:1.2"
FORTY_LINES = "for n in range(40): print('line', n)"


def doing(deed: str) -> list[dict[str, str]]:
    return [{"name": "DO", "value": deed}]


def is_alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    return False


async def started(kit: Kit, image: str, line: str, **container: Any) -> str:
    """Start a task, wait for its first line of output and return its ARN."""
    await kit.register("flow", image, **container)
    arn = str((await kit.run())["taskArn"])
    await eventually(lambda: line in kit.logs.all)
    return arn


@pytest.mark.parametrize(
    ("image", "has_command", "kind"),
    [
        ("dagy-worker", False, RuntimeKind.FORK_SERVER),
        ("localhost:5000/a/b/dagy-worker:latest", False, RuntimeKind.FORK_SERVER),
        ("dagy-worker@sha256:0123", False, RuntimeKind.FORK_SERVER),
        ("dagy-worker:1", True, RuntimeKind.PROCESS),
        ("python:3.12-slim", True, RuntimeKind.PROCESS),
        ("public.ecr.aws/docker/library/python:3", True, RuntimeKind.PROCESS),
        ("busybox", True, RuntimeKind.PROCESS),
        ("alpine:3", True, RuntimeKind.PROCESS),
        ("mine/tool:4", True, RuntimeKind.PROCESS),
        ("dagy-local/stub:9", True, RuntimeKind.SIMULATED),
        ("my-dagy-worker:1", False, None),
        ("nginx", True, None),
    ],
)
def test_an_image_is_run_by_its_runtime(image: str, has_command: bool, kind: RuntimeKind | None) -> None:
    choice = choose(image, has_command=has_command, registered={"mine/*": ["tool"]}, simulate=False)
    assert (choice and choice.kind) == kind


def test_the_repository_of_an_image_has_no_tag_and_no_digest() -> None:
    assert repository("host:5000/team/name:tag@sha256:00") == "host:5000/team/name"


def test_a_worker_is_forked_with_only_its_task_s_environment() -> None:
    async def test(kit: Kit) -> None:
        override = {"name": "worker", "environment": [{"name": "B", "value": "2"}, {"name": "C", "value": "3"}]}
        detail = await kit.outcome(
            WORKER,
            environment=[*doing("tell"), {"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
            secrets=[{"name": "KEY", "valueFrom": "arn:aws:secretsmanager:us-east-1:000000000000:secret:known"}],
            overrides={"containerOverrides": [override]},
        )
        (stream, lines) = next(iter(kit.logs.lines.items()))
        assert stream == ("/dagy", f"flows/worker/{detail['taskArn'].rpartition('/')[2]}")
        facts = json.loads(lines[0])
        environment = facts["environment"]
        runtime_id = detail["containers"][0]["runtimeId"]
        assert environment.pop("ECS_CONTAINER_METADATA_URI_V4") == f"http://127.0.0.1:4566/v4/{runtime_id}"
        assert environment.pop("PATH")
        assert environment.pop("HOME") == facts["directory"]
        assert environment == {
            "A": "1",
            "B": "2",
            "C": "3",
            "DO": "tell",
            "KEY": "s3cret",
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": "http://localhost:1",
            "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        assert facts["loaded_by"] == facts["parent"] == (await kit.ecs.admin("stats", {}))["fork_server_pid"]
        assert (facts["session"], facts["stdin"], facts["term"]) == (True, "", True)
        assert not os.path.exists(facts["directory"])  # noqa: ASYNC240, PTH110
        assert detail["containers"][0]["exitCode"] == 0

    os.environ["LEAK"] = "must not be seen"
    try:
        with_ecs(test, extra_environment={"AWS_ENDPOINT_URL": "http://localhost:1"})
    finally:
        del os.environ["LEAK"]


def test_a_worker_that_raises_leaves_its_traceback_in_the_log_and_exits_1() -> None:
    async def test(kit: Kit) -> None:
        detail = await kit.outcome(WORKER, environment=doing("fail"))
        assert detail["containers"][0]["exitCode"] == 1
        assert kit.logs.all[0] == "ärger"
        assert kit.logs.all[-1] == "ValueError: no good"

    with_ecs(test)


def test_a_worker_that_is_not_installed_says_so_in_each_log(capfd: pytest.CaptureFixture[str]) -> None:
    async def test(kit: Kit) -> None:
        detail = await kit.outcome(WORKER)
        assert detail["containers"][0]["exitCode"] == 1
        assert kit.logs.all[-1] == "ModuleNotFoundError: No module named 'no_such_worker'"

    with_ecs(test, worker_entry="no_such_worker:main")
    assert "no_such_worker:main is not preloaded" in capfd.readouterr().err


def test_a_hundred_workers_take_seconds() -> None:
    async def test(kit: Kit) -> None:
        await kit.register("flow", WORKER)
        answers = await asyncio.gather(*(kit.call("RunTask", **run_request(count=10)) for _ in range(10)))
        for answer in answers:
            for task in answer["tasks"]:
                detail = await kit.bus.stopped(task["taskArn"])
                assert detail["containers"][0]["exitCode"] == 0
        assert kit.logs.all == ["hello from a fork"] * 100
        assert len(kit.logs.lines) == 100

    with_ecs(test)


def test_sigterm_lets_a_worker_leave() -> None:
    async def test(kit: Kit) -> None:
        arn = await started(kit, WORKER, "ready", environment=doing("polite"))
        await kit.call("StopTask", task=arn)
        detail = await kit.bus.stopped(arn)
        assert kit.logs.all == ["ready", "leaving"]
        assert detail["containers"][0]["exitCode"] == 143

    with_ecs(test)


def test_sigkill_follows_after_the_stop_timeout() -> None:
    async def test(kit: Kit) -> None:
        arn = await started(kit, WORKER, "ignoring", environment=doing("stubborn"), stopTimeout=2)
        await kit.call("StopTask", task=arn)
        detail = await kit.bus.stopped(arn)
        assert detail["containers"][0]["exitCode"] == 137
        described = (await kit.call("DescribeTasks", tasks=[arn]))["tasks"][0]
        assert 1.9 < described["executionStoppedAt"] - described["stoppingAt"] < 4

    with_ecs(test)


@pytest.mark.parametrize("image", [WORKER, "busybox"])
def test_nothing_that_a_container_started_outlives_it(image: str) -> None:
    async def test(kit: Kit) -> None:
        command = {} if image == WORKER else {"command": ["sh", "-c", "sleep 60 & echo $!"]}
        await kit.outcome(image, environment=doing("orphan"), **command)
        await eventually(lambda: not is_alive(int(kit.logs.all[0])))

    with_ecs(test)


def test_when_the_fork_server_dies_its_tasks_are_stopped_and_another_takes_over() -> None:
    async def test(kit: Kit) -> None:
        arn = await started(kit, WORKER, "ready", environment=doing("polite"))
        server = (await kit.ecs.admin("stats", {}))["fork_server_pid"]
        workers = children_of(server)
        os.kill(server, signal.SIGKILL)
        detail = await kit.bus.stopped(arn)
        await eventually(lambda: not any(is_alive(worker) for worker in workers))
        assert len(workers) == 1
        assert detail["stopCode"] == "InfrastructureHealth"
        assert "fork server" in detail["containers"][0]["reason"]
        assert "exitCode" not in detail["containers"][0]
        assert (await kit.outcome(WORKER))["containers"][0]["exitCode"] == 0
        assert (await kit.ecs.admin("stats", {}))["fork_server_pid"] != server

    with_ecs(test)


@pytest.mark.parametrize(("image", "deed"), [(WORKER, "stubborn"), ("python:3.11", "")])
def test_closing_leaves_no_process_behind(image: str, deed: str) -> None:
    code = "import os, signal, time; signal.signal(15, signal.SIG_IGN); print('ignoring', flush=True); time.sleep(60)"

    async def main() -> set[int]:
        before = set(children_of(os.getpid()))
        async with local_ecs(close_grace_seconds=0.1) as kit:
            command = {} if deed else {"command": ["python", "-c", code]}
            await started(kit, image, "ignoring", environment=doing(deed), **command)
            return set(children_of(os.getpid())) - before

    ours = asyncio.run(main())
    assert ours
    assert not [pid for pid in ours if is_alive(pid)]


def children_of(pid: int) -> list[int]:
    own = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return own + [grandchild for child in own for grandchild in children_of(child)]


@pytest.mark.parametrize(
    ("container", "output", "code"),
    [
        ({"image": "busybox", "command": ["echo", "hi"]}, ["hi"], 0),
        ({"image": "x/python:3", "command": ["python", "-c", "print(6 * 7)"]}, ["42"], 0),
        ({"image": "python", "command": ["print(6 * 7)"], "entryPoint": ["python3", "-c"]}, ["42"], 0),
        ({"image": "alpine:3", "command": ["sh", "-c", "python -c 'print(6 * 7)'; exit 3"]}, ["42"], 3),
        ({"image": "mine/tool:1", "command": ["b"]}, ["a b"], 0),
        ({"image": "busybox"}, [], 0),
        ({"image": WORKER, "command": ["python", "-c", "print('not forked')"]}, ["not forked"], 0),
        ({"image": "busybox", "command": ["pwd"], "workingDirectory": "/"}, ["/"], 0),
        ({"image": "busybox", "command": ["true"], "workingDirectory": "/no/such/place"}, [], 0),
    ],
)
def test_a_process_runs_the_image_s_command(container: dict[str, Any], output: list[str], code: int) -> None:
    async def test(kit: Kit) -> None:
        detail = await kit.outcome(**container)
        assert (kit.logs.all, detail["containers"][0]["exitCode"]) == (output, code)

    with_ecs(test, images={"mine/*": ["echo", "a"]})


def test_a_process_has_only_its_task_s_environment() -> None:
    async def test(kit: Kit) -> None:
        await kit.outcome("busybox", command=["env"], environment=[{"name": "A", "value": "1"}])
        names = {line.partition("=")[0] for line in kit.logs.all}
        assert names == {
            "A",
            "AWS_DEFAULT_REGION",
            "AWS_EXECUTION_ENV",
            "AWS_REGION",
            "ECS_CONTAINER_METADATA_URI_V4",
            "HOME",
            "LANG",
            "PATH",
        }

    with_ecs(test)


def test_an_executable_that_is_not_there_cannot_start() -> None:
    async def test(kit: Kit) -> None:
        detail = await kit.outcome("busybox", command=["no-such-command"])
        assert (detail["stopCode"], detail["stoppedReason"]) == ("TaskFailedToStart", "Task failed to start")
        reason = detail["containers"][0]["reason"]
        assert reason.startswith("CannotStartContainerError: ")
        assert 'exec: "no-such-command": executable file not found in $PATH' in reason
        assert "exitCode" not in detail["containers"][0]

    with_ecs(test)


def test_an_executable_that_the_kernel_refuses_cannot_start(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELFnot really")
    program.chmod(0o755)

    async def test(kit: Kit) -> None:
        detail = await kit.outcome("busybox", command=[str(program)])
        assert "CannotStartContainerError: exec" in detail["containers"][0]["reason"]

    with_ecs(test)


def test_a_container_killed_for_its_memory_says_so() -> None:
    async def test(kit: Kit) -> None:
        await kit.ecs.admin("faults", {"tasks": {"oom_next": 1}})
        detail = await kit.outcome("busybox", command=["sleep", "60"])
        assert detail["stopCode"] == "EssentialContainerExited"
        assert detail["containers"][0]["exitCode"] == 137
        assert detail["containers"][0]["reason"] == "OutOfMemoryError: Container killed due to memory usage"

    with_ecs(test)


def test_all_output_is_shipped_before_the_task_is_stopped() -> None:
    async def test(kit: Kit) -> None:
        await kit.outcome("python", command=["python", "-c", FORTY_LINES])
        assert kit.logs.all == [f"line {n}" for n in range(40)]

    with_ecs(test, log_flush_seconds=60)


def test_without_a_log_driver_output_goes_nowhere() -> None:
    async def test(kit: Kit) -> None:
        detail = await kit.outcome(
            "busybox", command=["echo", "unheard"], logConfiguration={"logDriver": "awsfirelens"}
        )
        assert (kit.logs.all, detail["containers"][0]["exitCode"]) == ([], 0)

    with_ecs(test)
