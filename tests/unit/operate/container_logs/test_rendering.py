from __future__ import annotations

import json
from typing import Any

import pytest

from dagy_queue.aws.log_reader import LogEvent
from dagy_queue.errors import RequestInvalid
from dagy_queue.launching.logs import LogPlace
from dagy_queue.operate.container_logs.places import LogSource
from dagy_queue.operate.container_logs.rendering import Rendering, pattern_of
from dagy_queue.operate.container_logs.representative import lines

SOURCE = LogSource("r", 7, 2, LogPlace("/g", "dagy/worker/abc"), "us-east-1")
AT = 1_767_268_800_123  # 2026-01-01T12:00:00.123Z
WORKER = {
    "timestamp": "2026-01-01T11:59:59.000Z",
    "level": "ERROR",
    "message": "no luck",
    "run_id": "r",
    "task": "load",
    "traceback": "Traceback\nValueError: x\n",
}


def shown(message: Any, source: LogSource | None = SOURCE, label: str = "", **rendering: Any) -> str | None:
    text = message if isinstance(message, str) else json.dumps(message)
    return Rendering(**rendering).text_of(LogEvent(AT, text, "dagy/worker/abc"), source, label=label)


def test_a_line_of_the_worker_has_its_time_level_task_and_traceback() -> None:
    assert shown(WORKER) == "11:59:59 ERROR   load: no luck\n  Traceback\n  ValueError: x"


def test_any_other_line_is_as_it_is() -> None:
    assert shown("plain") == "plain"
    assert shown("plain", timestamps=True) == "2026-01-01T12:00:00.123Z plain"


def test_lines_may_be_shown_as_the_container_wrote_them() -> None:
    assert shown(WORKER, raw=True) == json.dumps(WORKER)


def test_each_line_of_a_shard_has_its_number() -> None:
    assert shown(WORKER, label="7") == "[7] 11:59:59 ERROR   load: no luck\n[7]   Traceback\n[7]   ValueError: x"


def test_each_line_of_a_shards_message_has_its_number() -> None:
    assert shown("two\nlines", label="7") == "[7] two\n[7] lines"


def test_lines_of_others_in_the_same_container_are_left_out() -> None:
    assert shown({**WORKER, "run_id": "other"}) is None
    assert shown({**WORKER, "run_id": "other"}, source=None) is not None


def test_only_lines_that_match_are_shown() -> None:
    assert shown("a 42 b", grep=pattern_of(r"\d+")) == "a 42 b"
    assert shown("a b", grep=pattern_of(r"\d+")) is None
    assert pattern_of("") is None
    with pytest.raises(RequestInvalid, match="a regular expression"):
        pattern_of("(")


def test_in_json_a_line_says_whose_it_is() -> None:
    assert json.loads(shown(WORKER, as_json=True) or "") == {
        "time": "2026-01-01T12:00:00.123Z",
        "run_id": "r",
        "shard": 7,
        "attempt": 2,
        "stream": "dagy/worker/abc",
        "level": "ERROR",
        "task": "load",
        "message": "no luck",
        "traceback": "Traceback\nValueError: x\n",
    }
    assert json.loads(shown("x", source=None, as_json=True) or "")["run_id"] == ""


def test_a_representative_log_is_as_heimdall_prints_it() -> None:
    events = [LogEvent(AT, "Starting application...", "s"), LogEvent(AT + 1000, json.dumps(WORKER), "s")]
    assert list(lines(SOURCE, events)) == [
        "=== dagy/worker/abc ===",
        "[2026-01-01 12:00:00] Starting application...",
        "[2026-01-01 12:00:01] ERROR load: no luck",
    ]
