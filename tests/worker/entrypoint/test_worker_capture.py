"""Captured output: whole lines, kept apart by thread and task, and the standard streams given back."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from dagy.context import inside_task
from dagy_worker.capture import captured
from tests.worker.entrypoint.log_kit import Log


@pytest.fixture
def log() -> Iterator[Log]:
    with Log() as opened:
        yield opened


def test_prints_become_lines_however_they_are_cut(log: Log) -> None:
    with captured(log):
        print("a", "b", sep="", end="")
        print("c\nd\r\n", end="", flush=True)
        sys.stdout.buffer.write("é\n".encode())
        print("rest", end="", file=sys.stderr)
    assert log.messages == ["abc", "d", "é", "rest"]
    assert [line["level"] for line in log.lines] == ["INFO", "INFO", "INFO", "WARNING"]
    assert [line["stream"] for line in log.lines] == ["stdout", "stdout", "stdout", "stderr"]
    assert {line["event_type"] for line in log.lines} == {"print"}


def test_bytes_that_are_no_text_are_shown_and_characters_may_be_cut(log: Log) -> None:
    with captured(log):
        for byte in b"\xff\x00 \xc3\xa9\n":
            sys.stdout.buffer.write(bytes([byte]))
    assert log.messages == ["\\xff\x00 é"]


def test_the_end_does_not_wait_for_a_thread_that_writes_on_and_on(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    emit_lines, written = log.emit_lines, 0

    def and_again(*args: Any, **kwargs: Any) -> None:
        nonlocal written
        emit_lines(*args, **kwargs)
        written += 1
        if written < 100:
            print(".", end="")

    with captured(log) as finish_lines:
        print("a\nb", end="")
        monkeypatch.setattr(log, "emit_lines", and_again)
        finish_lines()
        assert log.messages == ["a", "b"]
    assert log.messages == ["a", "b", "."]


def test_streams_hooks_and_logging_are_given_back(log: Log) -> None:
    def surroundings() -> list[object]:
        root = logging.getLogger()
        return [sys.stdout, sys.stderr, threading.excepthook, warnings.showwarning, list(root.handlers), root.level]

    before = surroundings()
    with captured(log):
        assert surroundings() != before
    assert surroundings() == before


def test_programs_find_the_streams_that_they_expect(log: Log) -> None:
    with captured(log):
        assert sys.stdout.writable()
        assert (sys.stdout.encoding, sys.stdout.errors, sys.stdout.name) == ("utf-8", "backslashreplace", "<stdout>")
        assert not sys.stdout.isatty()
        assert (sys.stdout.fileno(), sys.stderr.buffer.fileno()) == (1, 2)
        assert isinstance(sys.stdout, io.TextIOBase)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        sys.stdout.close()
        print("still heard")
    assert log.messages == ["still heard"]


def test_lines_of_threads_and_tasks_do_not_mix(log: Log) -> None:
    together = Barrier(2)

    def talk(name: str) -> None:
        with inside_task(name):
            for part in (name, "-", name, "\n"):
                together.wait(10)
                sys.stdout.write(part)

    with captured(log), ThreadPoolExecutor(2) as pool:
        list(pool.map(talk, ["one", "two"]))
    assert sorted((line["task"], line["message"]) for line in log.lines) == [("one", "one-one"), ("two", "two-two")]


def test_of_lines_that_nobody_ends_only_some_are_kept(log: Log) -> None:
    with captured(log):
        for number in range(1_000):
            with inside_task(f"t{number}"):
                print(number, end="")
        assert len(log.lines) > 700
    assert sorted(map(int, log.messages)) == list(range(1_000))
    assert all(line["task"] == f"t{line['message']}" for line in log.lines)


def test_a_forked_process_does_not_repeat_what_its_parent_has_begun(log: Log) -> None:
    with captured(log):
        print("from the parent", end="")
        if (pid := os.fork()) == 0:
            print("from the child")
            os._exit(0)
        os.waitpid(pid, 0)
        print()
    assert log.messages == ["from the child", "from the parent"]


def test_logging_keeps_level_logger_and_traceback(log: Log) -> None:
    with captured(log):
        logger = logging.getLogger("some.library")
        logger.debug("too quiet")
        logging.getLogger("botocore.hooks").info("too chatty")
        logger.info("%d done", 3)
        try:
            raise ValueError("boom")  # noqa: TRY301 - for its traceback
        except ValueError:
            logger.exception("it failed")
    assert [(line["level"], line["message"], line["logger"], line["event_type"]) for line in log.lines] == [
        ("INFO", "3 done", "some.library", "log"),
        ("ERROR", "it failed", "some.library", "log"),
    ]
    assert "ValueError: boom" in log.lines[1]["traceback"]


def test_the_level_may_be_another_one(log: Log) -> None:
    with captured(log, "DEBUG"):
        logging.getLogger("mine").debug("quiet")
    assert log.messages == ["quiet"]


def test_a_record_that_cannot_be_formatted_does_not_raise(log: Log) -> None:
    with captured(log):
        logging.getLogger("x").warning("%d", "not a number")
    assert any("Logging error" in message for message in log.messages)


def test_warnings_are_log_lines(log: Log) -> None:
    with captured(log), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("mind the gap", UserWarning, stacklevel=1)
    (line,) = log.lines
    assert (line["level"], line["logger"], line["event_type"]) == ("WARNING", "py.warnings", "log")
    assert "UserWarning: mind the gap" in line["message"]


def test_a_thread_that_dies_is_one_line(log: Log) -> None:
    def die() -> None:
        raise LookupError("nothing here")

    with captured(log):
        for target in (die, sys.exit):
            thread = threading.Thread(target=target, name="mine")
            thread.start()
            thread.join()
    (line,) = log.lines
    assert (line["level"], line["event_type"], line["message"]) == (
        "ERROR",
        "thread_failed",
        "mine ended with LookupError",
    )
    assert line["traceback"].endswith("LookupError: nothing here\n")
