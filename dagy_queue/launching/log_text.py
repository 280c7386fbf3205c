"""Lines of a container's log as people read them; pure.

The worker writes JSON lines (``dagy_worker/logs.py``), any other container what it likes. The second pass keeps the
last lines of a failed run in this form, ``dagy-queue logs`` prints them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

_PLAIN_LEVELS = ("", "INFO")
_LONGEST_LINE, _MOST_TEXT = 500, 8000
"""Characters of a line, and of all lines, that an outcome keeps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogText:
    """A line; of one that the worker did not write, only the message is known."""

    message: str
    time: str = ""
    """ISO 8601 in UTC."""
    level: str = ""
    task: str = ""
    traceback: str = ""
    run_id: str = ""

    def without_time(self) -> str:
        """Return level, task and message in a line. INFO is what one expects, and is left out."""
        level = "" if self.level in _PLAIN_LEVELS else f"{self.level} "
        return f"{level}{self.without_level()}"

    def without_level(self) -> str:
        """Return task and message in a line."""
        return f"{self.task}: {self.message}" if self.task else self.message


def read_line(line: str) -> LogText:
    """Read a line of a log."""
    values = _json(line)
    if not isinstance(values, dict) or not isinstance(values.get("message"), str):
        return LogText(message=line)
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    return LogText(
        message=texts["message"],
        time=texts.get("timestamp", ""),
        level=texts.get("level", ""),
        task=texts.get("task", ""),
        traceback=texts.get("traceback", ""),
        run_id=texts.get("run_id", ""),
    )


def last_lines(lines: Sequence[str], run_id: str) -> list[str]:
    """Return lines as an outcome keeps them: the last ones, cut to what it has room for, none of other runs."""
    texts = [read_line(line) for line in lines]
    own = [text.without_time()[:_LONGEST_LINE] for text in texts if text.run_id in ("", run_id)]
    kept: list[str] = []
    for line in reversed(own):
        if sum(map(len, kept)) + len(line) > _MOST_TEXT:
            break
        kept.append(line)
    return kept[::-1]


def _json(line: str) -> object:
    if not line.startswith("{"):
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
