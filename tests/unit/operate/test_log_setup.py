from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from dagy_queue.operate.log_setup import configure_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers, root.level = before
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    said = capsys.readouterr()
    assert said.out == ""
    return [json.loads(line) for line in said.err.splitlines()]


def log_a_crash(logger: Any) -> None:
    try:
        int("no luck")
    except ValueError:
        logger.exception("crashed")


def test_our_logs_are_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    structlog.get_logger("a").info("launched", run_id="r", attempt=2)
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["run_id"], line["attempt"]) == ("launched", "info", "r", 2)
    assert line["timestamp"].endswith("Z")


def test_logs_of_libraries_have_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logging.getLogger("celery.worker").warning("lost %s of %d", "one", 3)
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["logger"]) == ("lost one of 3", "warning", "celery.worker")
    assert line["timestamp"].endswith("Z")


def test_an_exception_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    for logger in (structlog.get_logger("a"), logging.getLogger("b")):
        log_a_crash(logger)
    assert ["no luck" in line["exception"] for line in lines(capsys)] == [True, True]


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("info", 2), ("warning", 1), ("ERROR", 0)])
def test_what_is_below_the_level_is_left_out(capsys: pytest.CaptureFixture[str], level: str, count: int) -> None:
    configure_logging(level)
    for logger in (structlog.get_logger("a"), logging.getLogger("b")):
        logger.debug("d")
        logger.info("i")
        logger.warning("w")
    assert len(lines(capsys)) == 2 * count


def test_values_bound_to_the_context_are_in_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    structlog.contextvars.bind_contextvars(org_id="acme")
    structlog.get_logger("a").info("ours")
    logging.getLogger("b").info("theirs")
    assert [line["org_id"] for line in lines(capsys)] == ["acme", "acme"]


def test_values_that_are_not_json_do_not_stop_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    structlog.get_logger("a").info("odd", value={1, 2}, error=ValueError("x"))
    assert lines(capsys)[0]["event"] == "odd"


def test_configuring_again_gives_no_line_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    configure_logging()
    logging.getLogger("b").info("once")
    assert len(lines(capsys)) == 1


def test_on_a_terminal_lines_are_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    configure_logging()
    structlog.get_logger("a").info("launched", run_id="r")
    assert not capsys.readouterr().err.startswith("{")


def test_on_a_terminal_an_exception_is_shown_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    configure_logging()
    for logger in (structlog.get_logger("a"), logging.getLogger("b")):
        log_a_crash(logger)
    assert capsys.readouterr().err.count("no luck") >= 2
