"""Moments on the command line: ``10m`` ago, or a time in ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests.durations import parse_duration

_RULE = "how long ago, such as 30s, 10m, 2h or 1d, or a time such as 2026-01-31T12:00:00"


def milliseconds(text: str) -> int | None:
    """Return the moment that a text means in milliseconds since 1970, or 0 before that; None for ''.

    Raises RequestInvalid.
    """
    return max(0, int(moment(text, datetime.now(UTC)).timestamp() * 1000)) if text else None


def moment(text: str, now: datetime) -> datetime:
    """Return the moment that a text means; a time without a zone is in UTC. Raises RequestInvalid."""
    try:
        return now - timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError):
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise RequestInvalid([Problem("since", text, _RULE)], "command") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
