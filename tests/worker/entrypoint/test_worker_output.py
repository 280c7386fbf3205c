"""What a run says: every line JSON with the run's fields, from wherever it comes, however much it is; and no secret."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dagy.contract import Env
from dagy_worker.logs import MAX_LINE_BYTES
from tests.worker.entrypoint.conftest import COMMAND, Done, Worker

FLOW = """
import json, logging, os, re, subprocess, sys, threading, warnings
from urllib.parse import quote
from dagy import flow, task

def peak(pid):
    with open(f"/proc/{{pid}}/status") as status:
        return int(re.search("VmHWM:[^0-9]*([0-9]+)", status.read())[1]) // 1024

@task
def talk(n):
{body}

@task
def last(x):
    print("the last word")
    return x

@flow
def talking(n: int = 0):
    return last(talk(n))
"""
COMMON = {"run_id": "run-1", "attempt": 2, "correlation_id": "corr", "org_id": "acme", "flow": "talking"}
FIELDS = {"timestamp", "level", "event_type", "message", "task", *COMMON}


def flow_of(*lines: str) -> str:
    return FLOW.format(body="\n".join(f"    {line}" for line in lines))


def said(done: Done, *kinds: str) -> list[tuple[str, str, str, str]]:
    return [(line["event_type"], line["level"], line["task"], line["message"]) for line in done.events(*kinds)]


def test_output_of_every_kind_has_the_same_fields(worker: Worker) -> None:
    code = flow_of(
        'print("printed")',
        'sys.stderr.write("an error\\n")',
        'logging.getLogger("mine").warning("logged")',
        'warnings.warn("warned")',
        'os.write(1, b"by descriptor \\xff\\n")',
        'subprocess.run(["sh", "-c", "echo by a child; echo badly >&2"])',
        'os.system("printf unfinished")',
    )
    done = worker.run(worker.spec(code))
    assert done.exit_code == 0, done.output
    assert all(line.items() >= COMMON.items() and line.keys() >= FIELDS for line in done.lines)
    assert [(kind, level, text) for kind, level, _, text in said(done, "print")] == [
        ("print", "INFO", "printed"),
        ("print", "WARNING", "an error"),
        ("print", "INFO", "the last word"),
    ]
    assert ("log", "WARNING", "talk", "logged") in said(done, "log")
    assert any("UserWarning: warned" in text for *_, text in said(done, "log"))
    assert {(level, text) for _, level, _, text in said(done, "output")} == {
        ("INFO", "by descriptor \\xff"),
        ("INFO", "by a child"),
        ("WARNING", "badly"),
        ("INFO", "unfinished"),
    }


def test_the_query_of_the_guide_finds_the_failed_tasks(worker: Worker) -> None:
    """``fields @timestamp, run_id, event_type | filter event_type = "task_failed"``, as CloudWatch reads JSON lines."""
    done = worker.run(worker.spec(flow_of("raise ValueError('boom')")))
    discovered = [json.loads(event) for event in done.output.splitlines()]
    found = [
        (line["timestamp"], line["run_id"], line["event_type"])
        for line in discovered
        if line["event_type"] == "task_failed"
    ]
    assert [(run_id, kind) for _, run_id, kind in found] == [("run-1", "task_failed")]
    assert found[0][0].endswith("Z")


def test_the_last_words_of_a_process_that_crashes_are_heard(worker: Worker) -> None:
    code = flow_of('os.write(2, b"terminate called\\n")', 'print("half a", end="")', "os.abort()")
    done = worker.run(worker.spec(code))
    assert done.exit_code == 134
    assert ("output", "WARNING", "talk", "terminate called") in said(done, "output")


@pytest.mark.parametrize(
    "body",
    [
        "for _ in range(100_000): print('x' * 1_000)",
        "print('x' * 100_000_000)",
        "sys.stdout.write(('x' * 999 + '\\n') * 100_000)",
        "for _ in range(1_000): os.write(1, b'x' * 100_000)",
        r"subprocess.run(['sh', '-c', r'head -c 100000000 /dev/zero | tr \\000 x'])",
        "subprocess.run(['sh', '-c', 'yes ' + 'x' * 999 + ' | head -c 100000000'])",
    ],
    ids=["lines", "one line", "one write", "raw, without end", "a child's line", "a child's lines"],
)
def test_a_flood_of_100_mb_neither_fills_the_memory_nor_breaks_what_follows(
    worker: Worker, aws: dict[str, str], tmp_path: Path, body: str
) -> None:
    code = flow_of(body, "return [peak(os.getpid()), peak(os.getppid())]")
    environ = {**os.environ, **aws, Env.RUN_SPEC: worker.spec(code).to_json()}
    with (tmp_path / "output").open("wb") as file:
        done = subprocess.run(COMMAND, env=environ, stdout=file, stderr=file, timeout=200, check=False)
    assert done.returncode == 0
    count, printed = 0, []
    with (tmp_path / "output").open("rb") as file:
        for line in file:
            assert len(line) <= MAX_LINE_BYTES
            document = json.loads(line)
            count += document["message"].count("x")
            printed = [document["message"]] if document["event_type"] == "print" else printed
    assert printed == ["the last word"]
    assert count >= 99_000_000
    flow_peak, supervisor_peak = worker.report("run.json").result
    assert flow_peak < 300  # MiB, of which the longest text of the flow's own is 100
    assert supervisor_peak < 100


SECRET = 'hunter-2 "&%/\\é'
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\n-----END KEY-----"


def test_secrets_are_in_nothing_that_the_worker_writes(worker: Worker, records: Any) -> None:
    code = flow_of(
        'secret, key = os.environ["DB_PASSWORD"], os.environ["SIGNING_KEY"]',
        "print(secret, repr(secret), json.dumps(secret), quote(secret, safe=''))",
        "print(secret[:6], end=''); print(secret[6:])",
        "print(key)",
        "logging.getLogger().warning('%s', secret)",
        "subprocess.run(['sh', '-c', 'echo \"$DB_PASSWORD\" >&2'])",
        "print('pin', os.environ['PIN'])",
        "raise ValueError(f'cannot connect with {secret} and {key}')",
    )
    spec = worker.spec(
        code,
        traces_uri=worker.objects.uri("traceback.txt"),
        secret_names=["DB_PASSWORD", "SIGNING_KEY", "PIN"],
        run_id="secretive",
        runs_table="DAGY_RUNS",
        task_runs_table="DAGY_TASK_RUNS",
    )
    done = worker.run(spec, DB_PASSWORD=SECRET, SIGNING_KEY=KEY, PIN="123")
    assert done.exit_code == 1
    report, trace = worker.objects.get("run.json"), worker.objects.get("traceback.txt")
    assert report is not None
    assert trace is not None
    item = records.Table("DAGY_RUNS").get_item(Key={"run_id": "secretive"})["Item"]
    task = records.Table("DAGY_TASK_RUNS").get_item(Key={"run_id": "secretive", "task_run_id": "0002#talk"})["Item"]
    written = [done.output, report.decode(), trace.decode(), str(item), str(task)]
    for text in written:
        assert "hunter" not in text
        assert "MIIE" not in text
        assert "[redacted:DB_PASSWORD]" in text
    (short,) = done.events("secret_too_short")
    assert "PIN" in short["message"]
    assert "pin 123" in [line["message"] for line in done.events("print")]


def test_the_level_of_logging_is_the_environment_s(worker: Worker) -> None:
    code = flow_of('logging.getLogger("mine").debug("quiet")')
    assert said(worker.run(worker.spec(code), DAGY_LOG_LEVEL="debug"), "log") == [("log", "DEBUG", "talk", "quiet")]
    assert said(worker.run(worker.spec(code), DAGY_LOG_LEVEL="nonsense"), "log") == []
