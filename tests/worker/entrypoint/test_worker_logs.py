"""Captured output: whole lines, kept apart by thread and task, and the standard streams given back."""

from __future__ import annotations

import io
import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from dagy.context import inside_task
from dagy.states import State, TaskRun
from dagy_worker.logs import Identity, JsonLog, captured
from dagy_worker.tasklog import TaskLog, error_report


class Log(JsonLog):
    """A log to read back."""

    def __init__(self) -> None:
        self.buffer = io.StringIO()
        super().__init__(self.buffer, Identity(run_id="r"))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.buffer.getvalue().splitlines()]

    @property
    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines]


def test_prints_become_lines_however_they_are_cut() -> None:
    log = Log()
    with captured(log):
        print("a", "b", sep="", end="")
        print("c\nd\r\n", end="", flush=True)
        sys.stdout.buffer.write("é\n".encode())
        print("rest", end="", file=sys.stderr)
    assert log.messages == ["abc", "d", "é", "rest"]
    assert [line["level"] for line in log.lines] == ["INFO", "INFO", "INFO", "WARNING"]


def test_streams_and_logging_are_given_back() -> None:
    before = (sys.stdout, sys.stderr, list(logging.getLogger().handlers), logging.getLogger().level)
    with captured(Log()):
        assert sys.stdout.writable()
        assert sys.stdout.encoding == "utf-8"
        assert not sys.stdout.isatty()
    assert (sys.stdout, sys.stderr, list(logging.getLogger().handlers), logging.getLogger().level) == before


def test_lines_of_threads_and_tasks_do_not_mix() -> None:
    log, together = Log(), Barrier(2)

    def talk(name: str) -> None:
        with inside_task(name):
            for part in (name, "-", name, "\n"):
                together.wait(10)
                sys.stdout.write(part)

    with captured(log), ThreadPoolExecutor(2) as pool:
        list(pool.map(talk, ["one", "two"]))
    assert sorted((line["task"], line["message"]) for line in log.lines) == [("one", "one-one"), ("two", "two-two")]


def test_very_long_lines_are_cut() -> None:
    log = Log()
    with captured(log):
        print("x" * 150_000)
        print("y" * 70_000, end="")
    assert [len(message) for message in log.messages] == [64_000, 64_000, 22_000, 64_000, 6_000]


def test_logging_keeps_level_logger_and_traceback() -> None:
    log = Log()
    with captured(log):
        logger = logging.getLogger("some.library")
        logger.debug("too quiet")
        logging.getLogger("botocore.hooks").info("too chatty")
        logger.info("%d done", 3)
        try:
            raise ValueError("boom")  # noqa: TRY301 - for its traceback
        except ValueError:
            logger.exception("it failed")
    assert [(line["level"], line["message"], line["logger"]) for line in log.lines] == [
        ("INFO", "3 done", "some.library"),
        ("ERROR", "it failed", "some.library"),
    ]
    assert "ValueError: boom" in log.lines[1]["traceback"]


def test_a_record_that_cannot_be_formatted_does_not_raise(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log()
    with captured(log):
        logging.getLogger("x").warning("%d", "not a number")
    assert any("Logging error" in message for message in log.messages)


def test_task_events_tell_state_attempt_and_error() -> None:
    log = Log()
    run = TaskRun(name="t", state=State.RUNNING, attempts=1, error=ValueError("boom"))
    events = TaskLog(log)
    events.task_retrying(run, 1.5)
    events.task_skipped(TaskRun(name="u", state=State.SKIPPED))
    retrying, skipped = log.lines
    assert retrying["message"] == "task t failed, next attempt in 1.5 s: ValueError: boom"
    assert (retrying["task"], retrying["task_attempt"], retrying["delay_seconds"]) == ("t", 1, 1.5)
    assert retrying["traceback"] == "ValueError: boom\n"
    assert (skipped["event_type"], skipped["task"], skipped["level"]) == ("task_skipped", "u", "WARNING")


def test_an_error_whose_message_cannot_be_had_is_reported_all_the_same() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert error_report(Broken()).message == "<its message cannot be shown>"
