"""Reading on from where one was: in one stream, or in many streams of a group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from dagy_queue.aws.log_reader import MISSING, MOST_STREAMS, LogEvent, LogPage, LogReader
from dagy_queue.errors import AwsRefused
from dagy_queue.operate.container_logs.pace import Pace

_LATE_MS = 10_000
"""Events may come so much later than their time says, behind others that are read already."""
_REMEMBERED_MS = 300_000


class StreamPosition:
    """A place in one stream."""

    def __init__(self, reader: LogReader, pace: Pace, group: str, stream: str, since: int | None = None) -> None:
        self._reader, self._pace = reader, pace
        self._group, self._stream = group, stream
        self._since = since
        self._token = ""

    def new(self) -> Iterator[LogEvent]:
        """Yield what was written since the last call, up to the end. Nothing for a stream that does not exist (yet).

        Raises AwsError.
        """
        while True:
            try:
                page = self._pace.call(
                    lambda: self._reader.forward(self._group, self._stream, self._token, self._since)
                )
            except AwsRefused as exc:
                if exc.code == MISSING:
                    return
                raise
            yield from page.events
            is_end = page.token == self._token
            self._token = page.token
            if is_end:
                return

    def last(self, most: int) -> list[LogEvent]:
        """Return the last events, and go on behind them. Raises AwsError."""
        events: list[LogEvent] = []
        token = ""
        while len(events) < most:
            page = self._before(most - len(events), token)
            events[:0] = page.events
            self._token = self._token or page.forward
            if not page.token or (not page.events and token):
                break
            token = page.token
        kept = [event for event in events if self._since is None or event.at >= self._since]
        return kept[-most:]

    def _before(self, most: int, token: str) -> LogPage:
        try:
            return self._pace.call(lambda: self._reader.tail(self._group, self._stream, most, token))
        except AwsRefused as exc:
            if exc.code == MISSING:
                return LogPage((), "")
            raise


@dataclass(slots=True)
class _Part:
    """Streams that are read with one call, and how far they are."""

    streams: Sequence[str] | str
    since: int | None
    seen: dict[str, int] = field(default_factory=dict)
    """When the events were that were read lately, by their ids."""

    def takes(self, other: _Part) -> bool:
        """Tell whether both can be read with one call and nothing be read twice: they are about equally far."""
        if not (self.seen and other.seen) or len(self.streams) + len(other.streams) > MOST_STREAMS:
            return False
        apart = max(self.seen.values()) - max(other.seen.values())
        return abs(apart) < _REMEMBERED_MS - _LATE_MS

    def join(self, other: _Part) -> None:
        """Take another part's streams over."""
        self.streams = [*self.streams, *other.streams]
        self.since = min(self.since or 0, other.since or 0)
        self.seen |= other.seen

    def note(self, event: LogEvent) -> bool:
        """Tell whether an event is new, and remember it."""
        is_new = event.id not in self.seen
        self.seen[event.id] = event.at
        return is_new

    def go_on(self) -> None:
        """Begin the next reading a little before the newest event."""
        if self.seen:
            newest = max(self.seen.values())
            self.since = newest - _LATE_MS
            self.seen = {key: at for key, at in self.seen.items() if at >= newest - _REMEMBERED_MS}


class GroupPosition:
    """A place in many streams of one group, or in all whose names begin with a text."""

    def __init__(self, reader: LogReader, pace: Pace, group: str) -> None:
        self._reader, self._pace = reader, pace
        self._group = group
        self._parts: list[_Part] = []

    def follow_all(self, prefix: str, since: int | None) -> None:
        """Read all streams whose names begin with a text, from a time (milliseconds) on."""
        self._parts = [_Part(prefix, since)]

    def follow(self, streams: Iterable[str], since: int | None) -> None:
        """Read these streams from now on: those that are new from a time on, those that were known where they are."""
        wanted = set(streams)
        for part in self._parts:
            part.streams = [stream for stream in part.streams if stream in wanted]
            wanted -= set(part.streams)
        self._parts = [part for part in self._parts if part.streams]
        for stream in sorted(wanted):
            part = self._unread_part(since)
            part.streams = [*part.streams, stream]

    def new(self) -> Iterator[LogEvent]:
        """Yield what was written since the last call, in order of time within the streams of a call.

        Raises AwsError.
        """
        for part in self._parts:
            for event in self._search(part.streams, part.since):
                if part.note(event):
                    yield event
            part.go_on()
        self._parts = _joined(self._parts)

    def _unread_part(self, since: int | None) -> _Part:
        last = self._parts[-1] if self._parts else None
        if last is None or last.seen or len(last.streams) >= MOST_STREAMS:
            last = _Part([], since)
            self._parts.append(last)
        return last

    def _search(self, streams: Sequence[str] | str, since: int | None) -> Iterator[LogEvent]:
        token: str | None = ""
        while token is not None:
            search = partial(self._reader.search, self._group, streams, since, token)
            try:
                page = self._pace.call(search)
            except AwsRefused as exc:
                if exc.code != MISSING:
                    raise
                yield from self._search_halves(streams, since)
                return
            yield from page.events
            token = page.token or None

    def _search_halves(self, streams: Sequence[str] | str, since: int | None) -> Iterator[LogEvent]:
        """Leave out streams that do not exist, which FilterLogEvents refuses together with all others."""
        if isinstance(streams, str) or len(streams) == 1:
            return
        middle = len(streams) // 2
        for half in (streams[:middle], streams[middle:]):
            yield from self._search(half, since)


def _joined(parts: Iterable[_Part]) -> list[_Part]:
    """Put parts together where that can be, so that few calls read many streams."""
    joined: list[_Part] = []
    for part in parts:
        if host := next((each for each in joined if each.takes(part)), None):
            host.join(part)
        else:
            joined.append(part)
    return joined
