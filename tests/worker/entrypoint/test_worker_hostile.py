"""Flows that do their worst: each ends in a clear outcome, with a report, a record and an exit code."""

from __future__ import annotations

import signal
import textwrap
from typing import Any

import pytest

from dagy.contract import OUT_OF_MEMORY, ReportStatus
from dagy_worker.deaths import Death, error_of, exit_code_of
from tests.worker.entrypoint.conftest import Done, Worker

FLOW = """
import atexit, ctypes, multiprocessing, os, resource, signal, subprocess, sys, threading, time
from dagy import flow, task

@task
def bad(n):
{body}

@task
def good(x):
    print("went on")
    return x

@flow
def hostile(n: int = 0):
    return good(bad(n))
"""


def flow_of(body: str) -> str:
    return FLOW.format(body=textwrap.indent(textwrap.dedent(body), "    "))


def end(worker: Worker, body: str, **fields: Any) -> Done:
    fields = {"traces_uri": worker.objects.uri("traceback.txt"), **fields}
    return worker.run(worker.spec(flow_of(body), **fields))


@pytest.mark.parametrize(("code", "exit_code"), [(0, 1), (2, 1), (3, 1), (143, 1), (7, 7), (75, 75)])
def test_os_exit_is_a_failure_also_with_0_and_never_with_a_code_of_ours(
    worker: Worker, code: int, exit_code: int
) -> None:
    done = end(worker, f"os._exit({code})")
    assert done.exit_code == exit_code
    error = done.report.error
    assert error is not None
    assert (error.type, error.task) == ("ProcessExited", "bad")
    assert f"exited with code {code} before its run was over: something called os._exit({code})" in error.message
    assert done.report.tasks == {"bad": "FAILED"}
    (finished,) = done.events("run_finished")
    assert (finished["level"], finished["exit_code"], finished["status"]) == ("ERROR", exit_code, "FAILED")


@pytest.mark.parametrize(
    ("body", "exit_code", "name", "place"),
    [
        ("ctypes.string_at(0)", 139, "SIGSEGV", "in bad"),
        ("os.abort()", 134, "SIGABRT", "in bad"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "SIGKILL", ""),
    ],
)
def test_a_crash_tells_where_the_flow_was(worker: Worker, body: str, exit_code: int, name: str, place: str) -> None:
    done = end(worker, body)
    assert done.exit_code == exit_code
    error = done.report.error
    assert error is not None
    assert error.type == "ProcessKilled"
    assert f"was ended by {name}" in error.message
    assert place in error.traceback
    trace = worker.objects.get("traceback.txt")
    assert trace is not None
    assert (place or "ended by SIGKILL").encode() in trace


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        ("sys.exit(3)", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise BaseException('mine')", "BaseException"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise MemoryError", "MemoryError"),
        ("return bytearray(1 << 60)", "MemoryError"),
        ("def deeper(): return deeper()\nreturn deeper()", "RecursionError"),
        ("raise type('Silent', (Exception,), {'__str__': None})", "Silent"),
    ],
)
@pytest.mark.parametrize("where", ["in the main thread", "in a thread"])
def test_whatever_is_raised_fails_the_task(worker: Worker, body: str, type_: str, where: str) -> None:
    code = (
        flow_of(body) if where == "in the main thread" else flow_of(body).replace("@task", "@task(timeout_seconds=60)")
    )
    done = worker.run(worker.spec(code))
    assert done.exit_code == 1
    assert done.report.error is not None
    assert (done.report.error.type, done.report.error.task) == (type_, "bad")
    assert done.report.tasks["bad"] == "FAILED"
    assert [line["task"] for line in done.events("task_failed")] == ["bad"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("float('nan')", "result is nan"),
        ("b'bytes'", "result is of type bytes"),
        ("object()", "result is of type object"),
        ("{'a': {1}}", "result['a'] is of type set"),
        ("chr(0xd800)", "half of a surrogate pair"),
        ("(lambda l: l.append(l) or l)([])", "contains itself"),
        ("__import__('functools').reduce(lambda v, _: [v], range(5000), 1)", "deep"),
        ("{type('Unwilling', (), {'__repr__': None})(): 1}", "result has the key <that cannot be shown>"),
    ],
)
def test_a_result_that_is_not_json_fails_the_run(worker: Worker, value: str, problem: str) -> None:
    done = end(worker, f"return {value}")
    assert done.exit_code == 1
    assert done.report.error is not None
    assert done.report.error.type == "ResultNotJson"
    assert problem in done.report.error.message


@pytest.mark.parametrize(
    "body",
    [
        "os.close(1); os.close(2); print('x')",
        "sys.stdout.close(); sys.stderr.close(); print('x')",
        "sys.stdout = sys.stderr = None",
        "os.closerange(0, 1000)",
        "os.chdir('/')",
        "[signal.signal(n, signal.SIG_IGN) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)]",
        "os.environ.clear()",
        "sys.modules.clear()",
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
        "threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()",
        "subprocess.Popen(['sleep', '3600'])",
        "subprocess.Popen(['sleep', '3600'], start_new_session=True)",
        "subprocess.Popen(['yes'], start_new_session=True)",
    ],
)
def test_what_a_flow_does_to_its_process_does_not_touch_its_result(worker: Worker, body: str) -> None:
    done = end(worker, f"{body}\nreturn [1]")
    assert done.exit_code == 0, done.output
    assert done.report.result == [1]
    assert done.report.status is ReportStatus.SUCCEEDED


def test_a_thread_that_never_ends_does_not_keep_the_container(worker: Worker) -> None:
    done = end(worker, "threading.Thread(target=time.sleep, args=(3600,)).start()\nreturn 1")
    assert (done.exit_code, done.report.result) == (0, 1)
    (killed,) = done.events("process_killed")
    assert "a thread that is no daemon?" in killed["message"]


def test_what_a_flow_leaves_to_the_end_is_done(worker: Worker) -> None:
    body = """
    atexit.register(print, "at exit")
    threading.Thread(target=lambda: (time.sleep(0.3), print("a thread's end"))).start()
    return 1
    """
    done = end(worker, body)
    assert done.exit_code == 0
    assert [line["message"] for line in done.events("print")] == ["went on", "a thread's end", "at exit"]


def test_a_crash_after_the_result_is_no_failure(worker: Worker) -> None:
    done = end(worker, "atexit.register(ctypes.string_at, 0)\nreturn 1")
    assert (done.exit_code, done.report.result) == (0, 1)
    (died,) = done.events("process_died")
    assert "after its runs were over, the flow's process was ended by SIGSEGV" in died["message"]


@pytest.mark.parametrize(
    "body",
    [
        "if os.fork() == 0: return 'child'\nos.wait()\nreturn 'parent'",
        "if os.fork() == 0: sys.exit(5)\nos.wait()\nreturn 'parent'",
        "if os.fork() == 0: raise ValueError\nos.wait()\nreturn 'parent'",
        "if os.fork() == 0: os._exit(9)\nos.wait()\nreturn 'parent'",
    ],
)
def test_the_run_is_the_parent_s_when_a_task_forks(worker: Worker, body: str) -> None:
    done = end(worker, body)
    assert (done.exit_code, done.report.result) == (0, "parent")
    assert len(done.events("run_finished")) == 1
    assert [line["message"] for line in done.events("print")] == ["went on"]


def test_processes_of_multiprocessing_work_and_are_heard(worker: Worker) -> None:
    body = """
    processes = [multiprocessing.get_context("fork").Process(target=print, args=("child", n)) for n in range(3)]
    for process in processes: process.start()
    for process in processes: process.join()
    return [process.exitcode for process in processes]
    """
    done = end(worker, body)
    assert done.report.result == [0, 0, 0]
    messages = sorted(line["message"] for line in done.events("print"))
    assert messages == ["child 0", "child 1", "child 2", "went on"]


def test_a_module_that_exits_or_crashes_when_imported_fails_the_run(worker: Worker) -> None:
    for line, code in (("sys.exit('no')", 2), ("ctypes.string_at(0)", 139), ("os._exit(0)", 1)):
        spec = worker.spec(flow_of("return 1"))
        broken = worker.with_source(spec, flow_of("return 1").replace("@task\ndef bad", f"{line}\n@task\ndef bad"))
        done = worker.run(broken)
        assert done.exit_code == code, done.output
        assert done.report.error is not None


def test_shards_after_one_that_crashed_get_a_process_of_their_own(worker: Worker) -> None:
    crew = [
        {"run_id": f"run-{n}", "shard": n, "parameters": {"n": n}, "result_uri": worker.objects.uri(f"run-{n}.json")}
        for n in range(1, 5)
    ]
    body = "if n in (1, 3): ctypes.string_at(0) if n == 1 else os._exit(9)\nreturn n * n"
    done = end(worker, body, parameters={"n": 0}, crew=crew)
    assert done.exit_code == 139
    reports = [done.report] + [worker.report(f"run-{n}.json") for n in range(1, 5)]
    assert [report.result for report in reports] == [0, None, 4, None, 16]
    assert [report.error.type if report.error else "" for report in reports] == [
        "",
        "ProcessKilled",
        "",
        "ProcessExited",
        "",
    ]
    assert [line["run_id"] for line in done.events("run_finished")] == ["run-1", *(f"run-{n}" for n in range(1, 5))]


def test_a_kill_for_lack_of_memory_is_told_apart() -> None:
    death = Death(status=signal.SIGKILL, out_of_memory=True)
    assert exit_code_of(death) == 137
    assert error_of(death).type == OUT_OF_MEMORY
    assert error_of(Death(status=signal.SIGKILL)).type == "ProcessKilled"
