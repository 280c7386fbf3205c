"""Reads CloudWatch Logs: the end of a stream, a stream page by page, or several streams at once.

``dispatch/failure_logs.py`` and ``dagy-queue logs`` read with it, each at a pace of its own. A call is made once: the
quotas are 25 a second for GetLogEvents and 10 for FilterLogEvents, of an account in a region, 10 and 5 in some regions
(CloudWatch Logs quotas), so who is throttled waits instead of trying at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dagy_queue.aws.errors import mapped

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

PAGE = 10_000
"""Events of the largest page (GetLogEvents, FilterLogEvents)."""
MOST_STREAMS = 100
"""Streams that one call of FilterLogEvents may name."""
MISSING = "ResourceNotFoundException"
"""Code of the refusal for a group or stream that does not exist (yet)."""


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A line of a container. ``at`` is in milliseconds since 1970."""

    at: int
    message: str
    stream: str
    id: str = ""
    """Where several streams are searched: what tells it from others."""


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some events, and the tokens that lead on."""

    events: tuple[LogEvent, ...]
    token: str
    """For the next call in the same direction; '' if there is nothing more that way."""
    forward: str = ""
    """Of the end of a stream: for what is written later."""


class LogReader:
    """Reads the log groups of one region. Its methods raise AwsError; AwsRefused has the code ``MISSING``."""

    def __init__(self, logs: CloudWatchLogsClient) -> None:
        self._logs = logs

    def tail(self, group: str, stream: str, most: int, token: str = "") -> LogPage:
        """Return the last events of a stream, oldest first; the token leads to those before them."""
        own: dict[str, Any] = {"nextToken": token} if token else {}
        with mapped("logs:GetLogEvents"):
            answer = self._logs.get_log_events(
                logGroupName=group, logStreamName=stream, limit=min(most, PAGE), startFromHead=False, **own
            )
        before = answer.get("nextBackwardToken", "")
        events = tuple(LogEvent(e["timestamp"], e["message"], stream) for e in answer["events"])
        return LogPage(events, "" if before == token else before, answer.get("nextForwardToken", ""))

    def forward(self, group: str, stream: str, token: str = "", since: int | None = None) -> LogPage:
        """Return the next events of a stream from ``since`` (milliseconds) or a token on; the token never ends.

        The end is where an answer has no events and the token that was given: later events come behind it.
        """
        own: dict[str, Any] = {"nextToken": token} if token else {}
        if since is not None:
            own["startTime"] = since
        with mapped("logs:GetLogEvents"):
            answer = self._logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **own)
        events = tuple(LogEvent(e["timestamp"], e["message"], stream) for e in answer["events"])
        return LogPage(events, answer.get("nextForwardToken", ""))

    def search(self, group: str, streams: Sequence[str] | str, since: int | None = None, token: str = "") -> LogPage:
        """Return the next events of up to ``MOST_STREAMS`` streams, or of all whose names begin with a text.

        A page may be empty although more follow.
        """
        own: dict[str, Any] = {"nextToken": token} if token else {}
        if since is not None:
            own["startTime"] = since
        if isinstance(streams, str):
            own |= {"logStreamNamePrefix": streams} if streams else {}
        else:
            own["logStreamNames"] = list(streams)
        with mapped("logs:FilterLogEvents"):
            answer = self._logs.filter_log_events(logGroupName=group, **own)
        found = [LogEvent(e["timestamp"], e["message"], e["logStreamName"], e["eventId"]) for e in answer["events"]]
        return LogPage(tuple(sorted(found, key=lambda event: event.at)), answer.get("nextToken", ""))
