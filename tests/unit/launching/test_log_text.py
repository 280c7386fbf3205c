from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.launching.log_text import LogText, last_lines, read_line
from dagy_worker.logs import Identity, JsonLog

LINE = {
    "timestamp": "2026-01-01T12:00:00.123Z",
    "level": "ERROR",
    "message": "no luck",
    "run_id": "r",
    "task": "load",
    "traceback": "Traceback",
}


def test_a_line_of_the_worker_is_read() -> None:
    found = read_line(json.dumps(LINE))
    assert found == LogText(
        message="no luck", time=LINE["timestamp"], level="ERROR", task="load", traceback="Traceback", run_id="r"
    )
    assert found.without_time() == "ERROR load: no luck"
    assert read_line(json.dumps({"message": "m", "level": "INFO"})).without_time() == "m"


def test_what_the_worker_really_writes_is_read(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as stream:
        log = JsonLog(stream.fileno(), Identity(run_id="r"))
        log.emit("WARNING", "careful", "log", task="load", traceback="Traceback")
    line = file.read_text()
    assert read_line(line) == LogText(
        message="careful",
        time=json.loads(line)["timestamp"],
        level="WARNING",
        task="load",
        traceback="Traceback",
        run_id="r",
    )


def test_any_other_line_is_its_own_message() -> None:
    for line in ("plain", "", '{"a": 1}', '{"message": 7}', "{broken", "[1]", "{" * 100_000):
        assert read_line(line) == LogText(message=line)


@given(st.text())
def test_every_line_can_be_read(line: str) -> None:
    read_line(line).without_time()


def test_the_last_lines_are_those_of_the_run_in_order() -> None:
    lines = ["plain", json.dumps({**LINE, "run_id": "other"}), json.dumps(LINE)]
    assert last_lines(lines, "r") == ["plain", "ERROR load: no luck"]


def test_no_more_is_kept_than_an_outcome_has_room_for() -> None:
    kept = last_lines([f"{number}{'x' * 1000}" for number in range(100)], "r")
    assert all(len(line) == 500 for line in kept)
    assert sum(map(len, kept)) <= 8000
    assert kept[-1].startswith("99")
