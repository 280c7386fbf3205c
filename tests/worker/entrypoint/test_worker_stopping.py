"""SIGTERM: the flow is told, gets its time, and everything is reported before the container is killed."""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import Any

import pytest

from dagy.contract import RunReport
from dagy.errors import Terminated
from dagy_worker.stop_request import StopRequest
from tests.worker.entrypoint.conftest import RUNS_TABLE, TASK_RUNS_TABLE, Done, Worker, write_zip
from tests.worker.entrypoint.http_kit import Answer, Request, serving

FLOW = """
import signal, subprocess, sys, threading, time
from dagy import RunContext, flow, task

@task
def work(n):
{body}

@task
def rest(x):
    return x

@flow
def stopped(n: int = 1):
    return rest([work(i) for i in range(n)])
"""
READY = 'print("ready", flush=True)'
WAITS = "while True: time.sleep(0.05)"
"""One long sleep does not hear of a signal that comes just before it begins."""


def flow_of(*lines: str) -> str:
    return FLOW.format(body="\n".join(f"    {line}" for line in lines))


def stop(worker: Worker, code: str, when: str = "ready", **fields: Any) -> tuple[Done, float]:
    """Run a flow, stop it when it has said something, and return what is left and the seconds that it took to end."""
    running = worker.start(worker.spec(code, **fields))
    running.until(f'"{when}"')
    running.signal(signal.SIGTERM)
    before = time.monotonic()
    return running.finish(), time.monotonic() - before


def check_terminated(done: Done, message: str = "stopped by SIGTERM") -> None:
    assert done.exit_code == 143, done.output
    error = done.report.error
    assert error is not None
    assert error.type == "Terminated"
    assert message in error.message


def test_a_loop_that_asks_can_end_well_and_is_told_what_is_the_matter(worker: Worker) -> None:
    code = flow_of(
        "stopping = RunContext.current().stopping",
        "assert not stopping.is_set()",
        "try:",
        f"    {READY}",
        "    stopping.wait(600)",
        "finally:",
        '    print("stopping", stopping.wait(10))',
    )
    done, _ = stop(worker, code)
    check_terminated(done)
    assert [line["message"] for line in done.events("print")] == ["ready", "stopping True"]
    assert done.report.tasks == {"work": "FAILED", "rest": "SKIPPED"}


@pytest.mark.parametrize("tasks", [1, 2], ids=["in the main thread", "in threads"])
def test_coroutines_that_are_at_work_are_cancelled_and_clean_up(worker: Worker, tasks: int) -> None:
    code = flow_of(
        "import asyncio",
        "async def spin():",
        "    while True:",
        "        sum(range(10_000))",
        "        await asyncio.sleep(0)",
        "async def both():",
        "    spinning = asyncio.ensure_future(spin())",
        "    try:",
        f"        {READY}",
        "        await asyncio.Event().wait()",
        "    finally:",
        '        print("cleaned up")',
        "asyncio.run(both())",
    )
    running = worker.start(worker.spec(code, {"n": tasks}))
    running.until('"ready"', tasks)
    running.signal(signal.SIGTERM)
    done = running.finish()
    check_terminated(done)
    assert done.report.error is not None
    assert done.report.error.message == "stopped by SIGTERM"
    assert [line["message"] for line in done.events("print")] == ["ready"] * tasks + ["cleaned up"] * tasks


def test_tasks_in_threads_see_it_as_well(worker: Worker) -> None:
    code = flow_of(READY, "RunContext.current().stopping.wait(600)", "time.sleep(60)").replace(
        "@task\ndef work", "@task(timeout_seconds=600)\ndef work"
    )
    done, seconds = stop(worker, code)
    check_terminated(done)
    assert seconds < 30


@pytest.mark.parametrize(
    "hanging",
    [
        'signal.signal(signal.SIGTERM, signal.SIG_IGN); print("deaf"); time.sleep(600)',
        'subprocess.Popen("sleep 1; echo deaf", shell=True); sum(range(10**13))',  # holds the interpreter's lock
        "while True:\n        try:\n            print('deaf'); time.sleep(600)\n        except BaseException: pass",
    ],
    ids=["ignores the signal", "is in C code", "catches everything"],
)
def test_a_flow_that_does_not_hear_it_is_killed_in_time_and_reported_with_where_it_was(
    worker: Worker, hanging: str
) -> None:
    done, seconds = stop(worker, flow_of(hanging), "deaf", stop_timeout=4.0)
    check_terminated(done, "the flow did not end within 2 s and was killed")
    assert done.report.error is not None
    assert "in work" in done.report.error.traceback
    assert done.report.tasks == {"work": "FAILED"}
    assert seconds < 20  # 2 on a machine that is not busy


@pytest.mark.parametrize("code", [0, 9])
def test_a_flow_that_exits_instead_is_stopped_all_the_same(worker: Worker, code: int) -> None:
    exiting = f"signal.signal(signal.SIGTERM, lambda *_: __import__('os')._exit({code}))"
    done, _ = stop(worker, flow_of(exiting, READY, WAITS))
    check_terminated(done, "the flow's process ended without telling how far it had come")


def test_a_flow_that_dies_by_the_signal_is_stopped_all_the_same(worker: Worker) -> None:
    code = flow_of("signal.signal(signal.SIGTERM, signal.SIG_DFL)", READY, WAITS)
    done, _ = stop(worker, code)
    check_terminated(done, "the flow's process ended without telling how far it had come")


def test_a_container_stopped_while_it_installs_packages_says_so(worker: Worker, tmp_path: Any) -> None:
    setup = "import time\nprint('never')\ntime.sleep(600)\n"
    content = write_zip(tmp_path / "slow.zip", {"requirements.txt": "./slow", "slow/setup.py": setup})
    uri = worker.objects.put("slow.zip", content)
    running = worker.start(worker.spec(flow_of("return 1"), dep_package_uris=[uri]), PIP_NO_INDEX="1")
    running.until("run_started")
    running.signal(signal.SIGTERM)
    check_terminated(running.finish())


def test_a_container_stopped_while_it_waits_for_its_run_spec_says_so(worker: Worker) -> None:
    is_asked, is_over = threading.Event(), threading.Event()

    def before(request: Request) -> None:
        if request.method == "GET":
            is_asked.set()
            is_over.wait(120)

    with serving(Answer()) as s3:
        s3.before = before
        running = worker.start(
            None,
            AWS_ENDPOINT_URL=s3.url,
            DAGY_RUN_SPEC_URI="s3://bucket/spec.json",
            DAGY_RUN_ID="run-1",
            DAGY_RESULT_URI="s3://bucket/run.json",
        )
        assert is_asked.wait(90)
        running.signal(signal.SIGTERM)
        done = running.finish()
        is_over.set()
    assert done.exit_code == 143, done.output
    (finished,) = done.events("run_finished")
    assert (finished["run_id"], finished["exit_code"]) == ("run-1", 143)
    report = RunReport.from_json(s3.requests[-1].body.decode())
    assert report.error is not None
    assert report.error.type == "Terminated"


def test_shards_that_have_not_begun_are_reported_too(worker: Worker) -> None:
    crew = [{"run_id": f"run-{n}", "shard": n, "result_uri": worker.objects.uri(f"run-{n}.json")} for n in (1, 2)]
    done, _ = stop(worker, flow_of(READY, WAITS), crew=crew)
    check_terminated(done)
    for n in (1, 2):
        error = worker.report(f"run-{n}.json").error
        assert error is not None
        assert error.type == "Terminated"


def test_a_second_signal_changes_nothing(worker: Worker) -> None:
    code = flow_of("try:", f"    {READY}", f"    {WAITS}", "finally:", '    print("cleaning"); time.sleep(1)')
    running = worker.start(worker.spec(code))
    running.until('"ready"')
    running.signal(signal.SIGTERM)
    running.until('"cleaning"')
    running.signal(signal.SIGTERM)
    check_terminated(running.finish())


def test_ctrl_c_stops_it_like_sigterm(worker: Worker) -> None:
    running = worker.start(worker.spec(flow_of(READY, WAITS)))
    running.until('"ready"')
    running.signal(signal.SIGINT)
    check_terminated(running.finish())


def test_the_record_of_a_stopped_run_is_written(worker: Worker, records: Any) -> None:
    fields = {"run_id": "stopped-run", "runs_table": RUNS_TABLE, "task_runs_table": TASK_RUNS_TABLE}
    done, _ = stop(worker, flow_of(READY, WAITS), **fields)
    check_terminated(done)
    item = records.Table(RUNS_TABLE).get_item(Key={"run_id": "stopped-run"})["Item"]
    assert (item["status"], item["phase"]) == ("RUNNING", "STOPPED")
    assert item["error_message"] == "Terminated: stopped by SIGTERM"
    key = {"run_id": "stopped-run", "task_run_id": "0002#work"}
    assert records.Table(TASK_RUNS_TABLE).get_item(Key=key)["Item"]["state"] == "FAILED"


def test_a_dynamodb_that_is_away_does_not_keep_a_stopped_container(worker: Worker) -> None:
    running = worker.start(
        worker.spec(flow_of(READY, WAITS), runs_table=RUNS_TABLE, stop_timeout=6.0),
        AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:9",
    )
    running.until('"ready"')
    running.signal(signal.SIGTERM)
    done = running.finish()
    check_terminated(done)
    assert len(done.events("record_failed")) == 1


def test_a_signal_that_comes_while_python_collects_garbage_is_heard_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: dropped.append(type(what.exc_value)))

    class Garbage:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    stop = StopRequest()
    steps = []
    with stop.heard(), pytest.raises(Terminated), stop.interrupting():
        steps += [Garbage() and "collected", "went on"]
    assert dropped == [Terminated]
    assert steps == ["collected", "went on"]
