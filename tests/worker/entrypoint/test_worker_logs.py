"""Log lines: whole JSON objects of bounded size, whatever goes into them and however many processes write."""

from __future__ import annotations

import contextlib
import json
import os
import string
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy.attempts import Attempt, Attempts, interrupt
from dagy.errors import Terminated
from dagy.states import State, TaskRun
from dagy_worker.error_reports import bounded, error_report, one_line
from dagy_worker.logs import MAX_LINE_BYTES, MAX_MESSAGE, Identity, JsonLog
from dagy_worker.redaction import Redactor
from dagy_worker.tasklog import TaskLog
from tests.worker.entrypoint.log_kit import Log

FIELDS = {
    "timestamp",
    "level",
    "event_type",
    "message",
    "run_id",
    "attempt",
    "correlation_id",
    "org_id",
    "flow",
    "task",
}


@pytest.fixture
def log() -> Iterator[Log]:
    with Log() as opened:
        yield opened


def test_every_line_has_the_same_fields(log: Log) -> None:
    log.identity = Identity(run_id="r", attempt=3, correlation_id='"c"\n', org_id="acme", flow="é")
    log.emit("INFO", "hello", "some_event", task="t", seconds=1.5, more={"a": [1]})
    (line,) = log.lines
    assert line.keys() == FIELDS | {"seconds", "more"}
    assert (line["run_id"], line["attempt"], line["correlation_id"], line["flow"]) == ("r", 3, '"c"\n', "é")
    assert (line["seconds"], line["more"]) == (1.5, {"a": [1]})


@given(st.text(), st.text(), st.dictionaries(st.text(string.ascii_lowercase, min_size=1), st.text(), max_size=3))
def test_any_text_makes_one_line_of_json(message: str, task: str, more: dict[str, str]) -> None:
    fields = {f"field_{name}": value for name, value in more.items()}
    with Log() as log:
        log.emit("INFO", message, "log", task=task, **fields)
        (line,) = log.lines
    assert line["message"].encode(errors="replace") == message.encode(errors="replace")
    assert line["task"].encode(errors="replace") == task.encode(errors="replace")


@pytest.mark.parametrize("character", ["x", "é", "漢", "\x00", "😀", "\\", "\ud800"])
def test_a_message_that_is_too_long_comes_in_numbered_parts_that_fit_into_events(log: Log, character: str) -> None:
    text = character * (3 * MAX_MESSAGE + 7)
    log.emit("ERROR", text, "log", traceback="\x01" * 100_000, logger="\x01" * 5_000)
    assert max(map(len, log.raw.splitlines())) <= MAX_LINE_BYTES
    lines = log.lines
    assert "".join(line["message"] for line in lines).encode(errors="replace") == text.encode(errors="replace")
    assert [line["part"] for line in lines] == list(range(1, len(lines) + 1))
    assert {line["parts"] for line in lines} == {len(lines)}


def test_of_a_long_traceback_the_end_is_kept(log: Log) -> None:
    log.emit("ERROR", "it failed", "task_failed", traceback="first\n" * 10_000 + "ValueError: last")
    assert log.lines[0]["traceback"].endswith("ValueError: last")


def test_secrets_are_in_no_field(log: Log) -> None:
    log.redact = Redactor({"TOKEN": "s3cr3t-value"})
    log.emit("INFO", "with s3cr3t-value", "log", traceback="at s3cr3t-value", note="s3cr3t-value")
    assert "s3cr3t" not in log.raw.decode()
    assert log.lines[0]["message"] == "with [redacted:TOKEN]"


def test_lines_of_threads_and_processes_do_not_mix(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    log = JsonLog(writer, Identity())
    log.share(tmp_path / "lock")
    received: list[bytes] = []
    reading = Thread(target=lambda: received.extend(iter(lambda: os.read(reader, 1 << 16), b"")))
    reading.start()

    def talk(name: str) -> None:
        for _ in range(20):
            log.emit("INFO", name * 30_000, "log", task=name)

    children = []
    for name in "ab":
        if (pid := os.fork()) == 0:
            talk(name)
            os._exit(0)
        children.append(pid)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(talk, "cd"))
    for pid in children:
        os.waitpid(pid, 0)
    os.close(writer)
    reading.join(30)
    os.close(reader)
    lines = [json.loads(line) for line in b"".join(received).splitlines()]
    assert len(lines) == 80
    assert all(line["message"] == line["task"] * 30_000 for line in lines)


def test_a_log_that_nobody_reads_or_has_does_not_raise() -> None:
    reader, writer = os.pipe()
    log = JsonLog(writer, Identity())
    os.close(reader)
    log.emit("INFO", "to nobody", "log")
    os.close(writer)
    log.emit("INFO", "to nowhere", "log")


def test_a_line_that_was_interrupted_does_not_break_the_next(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def a_part(descriptor: int, data: Any) -> int:
        monkeypatch.setattr(os, "write", interrupted)
        return write(descriptor, bytes(data)[:10])

    def interrupted(_descriptor: int, _data: Any) -> int:
        monkeypatch.setattr(os, "write", write)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", a_part)
    with pytest.raises(KeyboardInterrupt):
        log.emit("INFO", "interrupted", "log")
    log.emit("INFO", "next", "log")
    assert json.loads(log.raw.splitlines()[1])["message"] == "next"


def test_a_thread_that_is_interrupted_leaves_whole_lines(log: Log) -> None:
    begun = Event()

    def talk() -> None:
        with contextlib.suppress(Terminated):
            while True:
                log.emit("INFO", "on and on", "log")
                begun.set()

    for _ in range(20):
        begun.clear()
        attempt = Attempt("talk", 1)
        Attempts().start(attempt, talk)
        assert begun.wait(10)
        interrupt([attempt], grace_seconds=10)
        assert attempt.thread is not None
        assert not attempt.thread.is_alive()
    assert set(log.messages) == {"on and on"}


def test_task_events_tell_state_attempt_and_error(log: Log) -> None:
    run = TaskRun(name="t", state=State.RUNNING, attempts=1, error=ValueError("boom"))
    notes: list[Any] = []
    events = TaskLog(log, 2, notes.append, lambda: None)
    events.task_retrying(run, 1.5)
    events.task_skipped(TaskRun(name="u", state=State.SKIPPED))
    retrying, skipped = log.lines
    assert retrying["message"] == "task t failed, next attempt in 1.5 s: ValueError: boom"
    assert (retrying["task"], retrying["task_attempt"], retrying["delay_seconds"]) == ("t", 1, 1.5)
    assert retrying["traceback"] == "ValueError: boom\n"
    assert (skipped["event_type"], skipped["task"], skipped["level"]) == ("task_skipped", "u", "WARNING")
    assert [(note.place, note.name, note.state, note.error) for note in notes] == [
        (2, "t", "RUNNING", "ValueError: boom"),
        (2, "u", "SKIPPED", ""),
    ]


def test_an_error_whose_message_cannot_be_had_is_reported_all_the_same() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert error_report(Broken()).message == "<its message cannot be shown>"


def test_an_error_has_no_characters_that_dynamodb_refuses() -> None:
    report = error_report(ValueError("half \ud800"))
    assert report.message == "half \\ud800"
    assert report.traceback.endswith("ValueError: half \\ud800\n")
    assert one_line(error_report(MemoryError())) == "MemoryError"


def test_a_report_has_room_for_a_part_of_a_huge_error() -> None:
    report = bounded(error_report(ValueError("x" * 1_000_000)))
    assert len(report.message) == 10_000
    assert len(report.traceback) == 50_000
