"""Lines of logs as ``dagy-queue logs`` prints them; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypedDict

from dagy_queue.aws.log_reader import LogEvent
from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.launching.log_text import LogText, read_line
from dagy_queue.operate.container_logs.places import LogSource
from dagy_queue.operate.text import json_text


class LogLine(TypedDict):
    """A line of a log, ready for JSON."""

    time: str
    """ISO 8601 in UTC."""
    run_id: str
    """'' where the whole log group is read, and the line does not say."""
    shard: int | None
    attempt: int | None
    stream: str
    level: str
    """'' of lines that the Dagy worker did not write, as are task and traceback."""
    task: str
    message: str
    traceback: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendering:
    """What a line looks like, and which ones are shown."""

    grep: re.Pattern[str] | None = None
    timestamps: bool = False
    """Times in full, also of lines that are not the worker's."""
    raw: bool = False
    """As the container wrote it."""
    as_json: bool = False

    def text_of(self, event: LogEvent, source: LogSource | None, *, label: str = "") -> str | None:
        """Return a line; None if it is not to be shown."""
        found = read_line(event.message)
        if source is not None and found.run_id not in ("", source.run_id):
            return None  # of another shard in the same container
        if self.grep is not None and not self.grep.search(event.message):
            return None
        if self.as_json:
            return _json(event, found, source)
        if self.raw:
            return event.message
        lines = f"{self._time(event, found)}{_level(found)}{found.without_level()}".split("\n")
        lines += [f"  {line}" for line in found.traceback.rstrip().splitlines()]
        prefix = f"[{label}] " if label else ""
        return "\n".join(f"{prefix}{line}" for line in lines)

    def _time(self, event: LogEvent, found: LogText) -> str:
        if self.timestamps:
            return f"{iso(event.at)} "
        return f"{found.time[11:19]} " if found.time else ""


def pattern_of(text: str) -> re.Pattern[str] | None:
    """Return the pattern that lines must match; None for ''. Raises RequestInvalid."""
    try:
        return re.compile(text) if text else None
    except re.error as exc:
        raise RequestInvalid([Problem("grep", text, f"a regular expression of Python: {exc}")], "command") from None


def iso(at: int) -> str:
    """Return a time of CloudWatch in ISO 8601, in UTC."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def representative_line(event: LogEvent) -> str:
    """Return a line as Heimdall prints it: ``[YYYY-MM-DD HH:MM:SS] message``."""
    return (
        f"[{datetime.fromtimestamp(event.at / 1000, UTC):%Y-%m-%d %H:%M:%S}] {read_line(event.message).without_time()}"
    )


def _level(found: LogText) -> str:
    return f"{found.level:<7} " if found.level else ""


def _json(event: LogEvent, found: LogText, source: LogSource | None) -> str:
    line = LogLine(
        time=iso(event.at),
        run_id=source.run_id if source else found.run_id,
        shard=source.shard if source else None,
        attempt=source.attempt if source else None,
        stream=event.stream,
        level=found.level,
        task=found.task,
        message=found.message,
        traceback=found.traceback,
    )
    return json_text(line)
