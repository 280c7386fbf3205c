"""The worker as a process: the main paths, from environment to exit code, report and log."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from dagy.contract import INLINE_RESULT_BYTES, Env, ReportStatus
from tests.worker.entrypoint.conftest import RUNS_TABLE, Worker

HELLO = """
import logging, os, sys
from dagy import DAG, RunContext, task

@task
def extract(source):
    print("reading", source)
    logging.getLogger("mine").warning("careful: %s", "é")
    sys.stderr.write("unfinished")
    return {"source": source, "bucket": os.environ.get("OUTPUT_BUCKET")}

@task
def load(data):
    context = RunContext.current()
    return {**data, "run": context.run_id, "attempt": context.attempt, "shard": context.shard, "org": context.org_id}

with DAG("hello", version="1.0.0") as dag:
    load(extract(source="{{ parameters.source }}"))
"""
FAILING = """
from dagy import flow, task

@task
def divide(a, b):
    return a / b

@task
def show(x): ...

@flow
def failing(a: int):
    return show(divide(a, 0))
"""
WAITING = """
from threading import Event
from dagy import flow, task

@task
def wait(_n):
    try:
        print("waiting now")
        Event().wait()
    finally:
        print("cleaned up")

@flow
def waiting(n: int = 1):
    return [wait(i) for i in range(n)]
"""
RETURNING = "from dagy import flow\n@flow\ndef returning(n: int): return {}"


def test_a_run_that_succeeds_exits_0_with_its_result_in_the_report(worker: Worker) -> None:
    spec = worker.spec(HELLO, {"source": "s3://in", "output_bucket": "out"}, shard=3, batch_id="b")
    done = worker.run(spec)
    assert done.exit_code == 0, done.output
    report = done.report
    assert (report.run_id, report.attempt, report.status) == ("run-1", 2, ReportStatus.SUCCEEDED)
    expected = {"source": "s3://in", "bucket": "out", "run": "run-1", "attempt": 2, "shard": 3, "org": "acme"}
    assert report.result == expected
    assert report.tasks == {"extract": "SUCCEEDED", "load": "SUCCEEDED"}
    assert report.result_bytes == len(json.dumps(expected, separators=(",", ":")))
    assert report.started_at < report.finished_at


def test_every_log_line_is_json_and_says_which_run_and_task_it_belongs_to(worker: Worker) -> None:
    done = worker.run(worker.spec(HELLO, {"source": "x"}))
    common = {"run_id": "run-1", "attempt": 2, "correlation_id": "corr", "org_id": "acme", "flow": "hello"}
    assert all(line.items() >= common.items() for line in done.lines)
    assert [
        (line["event_type"], line["task"]) for line in done.lines if line["event_type"] not in ("log", "print")
    ] == [
        ("run_started", ""),
        ("task_started", "extract"),
        ("task_finished", "extract"),
        ("task_started", "load"),
        ("task_finished", "load"),
        ("run_finished", ""),
    ]
    written = {
        (line["event_type"], line["level"], line["message"], line["task"]) for line in done.events("log", "print")
    }
    assert written == {
        ("print", "INFO", "reading x", "extract"),
        ("log", "WARNING", "careful: é", "extract"),
        ("print", "WARNING", "unfinished", "extract"),
    }


def test_a_run_that_fails_exits_1_with_error_traceback_and_skipped_tasks(worker: Worker) -> None:
    done = worker.run(worker.spec(FAILING, {"a": 1}, traces_uri=worker.objects.uri("traces/")))
    assert done.exit_code == 1
    report = done.report
    assert report.status is ReportStatus.FAILED
    assert report.error is not None
    assert (report.error.type, report.error.message, report.error.task) == (
        "ZeroDivisionError",
        "division by zero",
        "divide",
    )
    assert "return a / b" in report.error.traceback
    assert report.tasks == {"divide": "FAILED", "show": "SKIPPED"}
    assert worker.objects.get("traces/traceback.txt") == report.error.traceback.encode()
    (failed,) = done.events("task_failed")
    assert (failed["level"], failed["task"], failed["state"]) == ("ERROR", "divide", "FAILED")
    assert "ZeroDivisionError" in failed["traceback"]
    assert done.events("run_finished")[0]["exit_code"] == 1


def test_a_flow_that_fails_before_its_first_task_is_a_failed_run(worker: Worker) -> None:
    done = worker.run(worker.spec(RETURNING.format("1 // n"), {"n": 0}))
    assert done.exit_code == 1
    assert done.report.error is not None
    assert done.report.error.type == "ZeroDivisionError"


def test_a_large_result_goes_into_an_object_of_its_own(worker: Worker) -> None:
    done = worker.run(worker.spec(RETURNING.format("'x' * n"), {"n": INLINE_RESULT_BYTES}))
    assert done.exit_code == 0
    assert done.report.result is None
    assert done.report.result_uri == worker.objects.uri("run.result.json")
    assert done.report.result_bytes == INLINE_RESULT_BYTES + 2
    assert worker.objects.get("run.result.json") == b'"' + b"x" * INLINE_RESULT_BYTES + b'"'


@pytest.mark.parametrize("result", ["{}", "''", "[]", "None", "0", "False"])
def test_an_empty_result_arrives_as_it_is(worker: Worker, result: str) -> None:
    report = worker.run(worker.spec(RETURNING.format(result), {"n": 1})).report
    assert repr(report.result) == result


def test_a_result_that_is_not_json_fails_the_run_naming_type_and_place(worker: Worker) -> None:
    done = worker.run(worker.spec(RETURNING.format("{'a': [n, {1, 2}]}"), {"n": 1}))
    assert done.exit_code == 1
    assert done.report.error is not None
    assert done.report.error.message == "the flow's result is not JSON: result['a'][1] is of type set"


def test_parameters_that_do_not_fit_exit_2_with_a_report(worker: Worker) -> None:
    done = worker.run(worker.spec(FAILING, {"b": 1}))
    assert done.exit_code == 2
    assert done.report.error is not None
    assert "flow 'failing': parameter 'a' is missing; parameter 'b' is unknown" in done.report.error.message


def test_without_a_spec_the_worker_exits_2_and_reports_where_the_environment_says(worker: Worker) -> None:
    environ = {Env.RESULT_URI: worker.objects.uri("run.json"), Env.RUN_ID: "r9", Env.ATTEMPT: "3"}
    done = worker.run(None, **environ)
    assert done.exit_code == 2
    assert (done.report.run_id, done.report.attempt) == ("r9", 3)
    assert done.report.error is not None
    assert done.report.error.message == "no run spec: neither DAGY_RUN_SPEC nor DAGY_RUN_SPEC_URI is set"


def test_the_spec_may_be_an_object(worker: Worker) -> None:
    spec = worker.spec(HELLO, {"source": "x" * 10_000})
    uri = worker.objects.put("spec.json", spec.to_json().encode())
    done = worker.run(None, **{Env.RUN_SPEC_URI: uri})
    assert done.exit_code == 0
    assert done.report.result["source"] == "x" * 10_000


def test_an_artifact_with_another_hash_exits_2(worker: Worker) -> None:
    done = worker.run(worker.spec(HELLO, {"source": "x"}, artifact_sha256="0" * 64))
    assert done.exit_code == 2
    assert done.report.error is not None
    assert done.report.error.type == "BadArtifact"
    assert f"expected {'0' * 64}" in done.report.error.message


def test_a_missing_artifact_exits_2(worker: Worker) -> None:
    done = worker.run(worker.spec(HELLO, artifact_uri=worker.objects.uri("nothing.zip")))
    assert done.exit_code == 2
    assert done.report.error is not None
    assert done.report.error.type == "StorageError"


def test_without_a_network_the_worker_exits_2_and_says_so(worker: Worker) -> None:
    done = worker.run(worker.spec(HELLO), AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert done.exit_code == 2
    assert "Could not connect" in done.events("run_finished")[0]["message"]
    assert "the run's report is lost" in done.events("report_failed")[0]["message"]


def test_a_line_that_a_run_did_not_finish_is_its_own_also_where_others_follow(worker: Worker) -> None:
    crew = [
        {"run_id": "run-2", "shard": 1, "result_uri": worker.objects.uri("run-2.json"), "parameters": {"source": "y"}}
    ]
    done = worker.run(worker.spec(HELLO, {"source": "x"}, crew=crew))
    assert done.exit_code == 0, done.output
    lines = [(line["run_id"], line["message"]) for line in done.events("print", "run_finished")]
    assert lines == [
        *(("run-1", text) for text in ("reading x", "unfinished", "run SUCCEEDED")),
        *(("run-2", text) for text in ("reading y", "unfinished", "run SUCCEEDED")),
    ]


def test_a_success_that_cannot_be_reported_is_a_failure_in_the_record_too(worker: Worker, records: Any) -> None:
    nowhere = "s3://there-is-no-such-bucket/run.json"
    more = {"run_id": "unreported", "result_uri": nowhere, "runs_table": RUNS_TABLE, "is_direct": True}
    done = worker.run(worker.spec(HELLO, {"source": "x"}, **more))
    assert done.exit_code == 2
    assert done.events("run_finished")[0]["status"] == "FAILED"
    item = records.Table(RUNS_TABLE).get_item(Key={"run_id": "unreported"})["Item"]
    assert item["status"] == "FAILED"
    assert item["error_message"].startswith(f"StorageError: cannot write {nowhere}")


@pytest.mark.parametrize("tasks", [1, 2], ids=["in the main thread", "in threads"])
def test_sigterm_interrupts_the_tasks_reports_and_exits_143(worker: Worker, tasks: int) -> None:
    running = worker.start(worker.spec(WAITING, {"n": tasks}))
    running.until("waiting now", tasks)
    running.signal(signal.SIGTERM)
    done = running.finish()
    assert done.exit_code == 143
    assert done.report.error is not None
    assert (done.report.error.type, done.report.error.message) == ("Terminated", "stopped by SIGTERM")
    assert set(done.report.tasks.values()) == {"FAILED"}
    if tasks == 1:  # a thread that waits in C is interrupted only when it comes back
        assert "cleaned up" in [line["message"] for line in done.events("print")]


def test_a_task_stuck_after_its_timeout_does_not_keep_the_process(worker: Worker) -> None:
    code = WAITING.replace("@task", "@task(timeout_seconds=0.1)")
    done = worker.run(worker.spec(code))
    assert done.exit_code == 1
    assert done.report.tasks == {"wait": "TIMED_OUT"}
    assert done.report.error is not None
    assert done.report.error.type == "TaskTimedOut"
