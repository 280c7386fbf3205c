"""The result backends of dispatchers: Celery's own, but a chord's part is counted again while Redis is away.

``dispatch/celery_settings.py`` names them to Celery. Celery repeats only the storing of results. A part whose count
failed would be stored as a failure after that, and fail its chord although its run succeeded.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from celery.backends.redis import RedisBackend, SentinelBackend

_LONGEST_PAUSE = 2.0


class _PatientWithChords:
    """Counts the parts of chords for as long as it takes. Counting twice counts once (Celery's script sees to it)."""

    def on_chord_part_return(self, request: Any, state: str, result: Any, **options: Any) -> Any:
        """Count a part of a chord."""
        count = partial(super().on_chord_part_return, **options)  # type: ignore[misc]
        policy = {"max_retries": None, "interval_max": _LONGEST_PAUSE}
        return self.ensure(count, (request, state, result), **policy)  # type: ignore[attr-defined]


class PatientRedisBackend(_PatientWithChords, RedisBackend):
    """Results in one Redis."""


class PatientSentinelBackend(_PatientWithChords, SentinelBackend):
    """Results in the Redis that Sentinel names."""
