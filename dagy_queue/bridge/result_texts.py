"""What runs returned, as short texts for people, from the beginning of what Celery's result backend has of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

_MOST_VALUE, _MOST_ERROR = 300, 4000
_RESULT, _ERROR = '"result": ', '"exc_message": ['


class ResultTexts:
    """Reads from one result backend. A result may be megabytes, so never more than its beginning is read."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def values(self, task_ids: Sequence[str]) -> dict[str, str]:
        """Return what tasks returned, in JSON, cut where it is long; '' for what has no result (any more)."""
        found = self._beginnings(task_ids, _MOST_VALUE + 100)
        return {task_id: _first_value(text, _RESULT, _MOST_VALUE) for task_id, text in found.items()}

    def errors(self, task_ids: Sequence[str]) -> dict[str, str]:
        """Return why tasks failed, in the words of their errors; '' for what has not failed."""
        found = self._beginnings(task_ids, _MOST_ERROR + 200)
        return {task_id: _as_text(_first_value(text, _ERROR, _MOST_ERROR)) for task_id, text in found.items()}

    def _beginnings(self, task_ids: Sequence[str], most: int) -> dict[str, str]:
        if not task_ids:
            return {}
        pipeline = self._backend.client.pipeline(transaction=False)
        for task_id in task_ids:
            pipeline.getrange(self._backend.get_key_for_task(task_id), 0, most)
        texts = [_decoded(each) for each in pipeline.execute()]
        return dict(zip(task_ids, texts, strict=True))


def _decoded(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _first_value(text: str, before: str, most: int) -> str:
    """Return the JSON value that stands after ``before``, whole if all of it is there."""
    _, found, rest = text.partition(before)
    if not found:
        return ""
    try:
        _, end = json.JSONDecoder().raw_decode(rest)
    except ValueError:
        return f"{rest[:most]}…"
    return rest[:end] if end <= most else f"{rest[:most]}…"


def _as_text(value: str) -> str:
    try:
        return str(json.loads(value))
    except ValueError:
        return value.strip('"')
