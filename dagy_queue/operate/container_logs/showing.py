"""Showing the logs of a run, a batch, or everything; once, or for as long as it goes on."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from dagy_queue.aws.log_reader import LogEvent, LogReader
from dagy_queue.errors import BatchNotFound, RequestInvalid
from dagy_queue.ids import shard_id
from dagy_queue.launching.log_text import read_line
from dagy_queue.operate.container_logs.pace import GROUP_CALLS, STREAM_CALLS, Pace
from dagy_queue.operate.container_logs.places import LogSource, Places
from dagy_queue.operate.container_logs.reading import GroupPosition, StreamPosition
from dagy_queue.operate.container_logs.rendering import Rendering
from dagy_queue.operate.finding import Desk
from dagy_queue.operate.output import note, say, say_as_it_is
from dagy_queue.operate.text import plural
from dagy_queue.producer.batch_report import BatchStatusReport
from dagy_queue.producer.results import RunStatusReport

_LOOK_SECONDS = 1.0
_LATE_SECONDS = 3.0
"""CloudWatch may have the last lines so much later than the run its end."""
_FINAL = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What of the logs is wanted."""

    rendering: Rendering = field(default_factory=Rendering)
    follow: bool = False
    since: int | None = None
    """Milliseconds since 1970."""
    tail: int | None = None
    """So many of the last lines; of a batch, of each shard."""
    attempt: int | None = None
    org: str = ""
    """Whose they are, as far as that was said: what has left the ledger is found by its org."""


class LogShow:
    """Prints logs."""

    def __init__(self, desk: Desk, asked: Asked) -> None:
        self._desk = desk
        self._asked = asked
        self._places = Places(desk)
        self._shards: dict[str, int] = {}
        """The numbers of a batch's shards by their runs, once they are needed."""
        self._stream_pace, self._group_pace = Pace(STREAM_CALLS), Pace(GROUP_CALLS)

    def run(self, run_id: str) -> None:
        """Print the log of a run's last attempt; with ``follow`` those of all later ones as well, until it is over.

        Raises AwsError, RequestInvalid.
        """
        if self._asked.follow:
            self._follow_run(run_id)
            return
        source = self._places.of_run(run_id, self._asked.attempt)
        if source is None:
            note(_nothing(self._desk.run_status(run_id)))
        elif not self._print(self._events(self._position(source)), source) and self._asked.since is None:
            note(
                f"the log of run {run_id} is empty: its container wrote nothing, or never started; "
                f"`dagy-queue explain {run_id}` says more"
            )

    def batch(self, batch_id: str) -> None:
        """Print the logs of a batch's shards, each line with the shard's number. Raises AwsError, RequestInvalid."""
        if self._asked.attempt:
            raise RequestInvalid("--attempt is for a run: name a shard as BATCH:INDEX")
        if self._asked.tail is not None and self._asked.follow:
            raise RequestInvalid("--tail with --follow is for a run: name a shard as BATCH:INDEX, or say --since")
        has_logs = self._tails(batch_id) if self._asked.tail is not None else self._groups(batch_id)
        if not has_logs:
            note(f"no shard of batch {batch_id} has a log that the ledger knows; the record of BATCH:INDEX may")
        elif not self._desk.is_direct and (forgotten := self._desk.overview.count_forgotten(batch_id)):
            # Shards that succeeded leave the ledger before their batch does.
            asks = f"`dagy-queue logs {batch_id}:INDEX` asks the record"
            note(f"without {plural(forgotten, 'shard')} that the ledger has forgotten: {asks}")

    def _tails(self, batch_id: str) -> bool:
        """Print the last lines of each shard; return whether any has a log."""
        has_logs = False
        for source in self._sources(batch_id):
            has_logs = True
            self._print(self._events(self._position(source)), source, label=str(source.shard))
        return has_logs

    def _groups(self, batch_id: str) -> bool:
        """Print what all shards wrote as it comes; return whether any has a log."""
        groups: dict[tuple[str, str], GroupPosition] = {}
        for sources in self._rounds(batch_id):
            by_stream = _by_stream(sources)
            streams = _by_group(sources)
            groups |= {key: self._group(*key) for key in streams.keys() - groups.keys()}
            for key, position in groups.items():
                position.follow(streams.get(key, ()), self._asked.since)
                for event in position.new():
                    source = self._writer(event, by_stream[event.stream], batch_id)
                    self._print([event], source, label=str(source.shard))
        return bool(groups)

    def _writer(self, event: LogEvent, sources: Sequence[LogSource], batch_id: str) -> LogSource:
        """Return which of the shards in a container wrote a line; the first of them where the line does not say.

        One that shares the container of another is known to be in it only once it has ended.
        """
        run_id = read_line(event.message).run_id
        known = [source for source in sources if run_id in ("", source.run_id)]
        if known:
            return known[0]
        if not self._shards:
            total = sum(self._report(batch_id)["counts"].values())
            self._shards = {shard_id(batch_id, shard): shard for shard in range(total)}
        shard = self._shards.get(run_id)
        return sources[0] if shard is None else replace(sources[0], run_id=run_id, shard=shard)

    def everything(self) -> None:
        """Print the log group of the settings, each line with the beginning of its task's id.

        Raises AwsError, RequestInvalid.
        """
        if self._asked.attempt:
            raise RequestInvalid("--attempt is for a run: name one")
        ecs = self._desk.settings.ecs
        position = self._group("", ecs.log_group)
        position.follow_all(f"{ecs.log_stream_prefix}/", self._asked.since)
        events: Iterable[LogEvent] = position.new()
        if self._asked.tail is not None:
            events = deque(events, self._asked.tail)
        while True:
            for event in events:
                self._print([event], None, label=event.stream.rpartition("/")[2][:8])
            if not self._asked.follow:
                return
            time.sleep(_LOOK_SECONDS)
            events = position.new()

    def _follow_run(self, run_id: str) -> None:
        shown, is_told = 0, False
        while True:
            run = self._desk.run_status(run_id)
            source = self._next_attempt(run, shown)
            if source is not None:
                if shown:
                    note(f"attempt {source.attempt}")
                shown = source.attempt
                self._follow_attempt(source)
            elif run["status"] in _FINAL or (shown and self._asked.attempt):
                if not shown:
                    note(_nothing(run))
                return
            elif not (shown or is_told):
                is_told = True
                note(f"{_nothing(run)}; waiting for it")
            time.sleep(_LOOK_SECONDS)

    def _next_attempt(self, run: RunStatusReport, shown: int) -> LogSource | None:
        """Return the attempt to show next that has a task: at first the last one or the one asked for, then each."""
        if not shown:
            return self._places.of_run(run["run_id"], self._asked.attempt)
        later = () if self._asked.attempt else range(shown + 1, run["attempt"] + 1)
        found = (self._places.of_run(run["run_id"], attempt) for attempt in later)
        return next((each for each in found if each is not None), None)

    def _follow_attempt(self, source: LogSource) -> None:
        """Print the log of an attempt until it is over."""
        position = self._position(source)
        self._print(self._events(position), source)
        ended_at: float | None = None
        while ended_at is None or time.monotonic() - ended_at < _LATE_SECONDS:
            run = self._desk.run_status(source.run_id)
            if ended_at is None and (run["status"] in _FINAL or run["attempt"] > source.attempt):
                ended_at = time.monotonic()
            time.sleep(_LOOK_SECONDS)
            self._print(position.new(), source)

    def _rounds(self, batch_id: str) -> Iterator[list[LogSource]]:
        """Yield the shards whose logs are to be read: all of them once, then those that go on until the batch is over.

        What had ended in one round is read in the next one for the last time; where shards share containers, all of
        them are read to the end, as others may still be in them.
        """
        shares = self._asked.follow and self._shares_containers(batch_id)
        ended: set[str] = set()
        read: set[str] = set()
        while True:
            report = self._report(batch_id)
            sources = [s for s in self._sources(batch_id) if s.run_id not in read]
            yield sources
            if not self._asked.follow or (report["status"] in _FINAL and all(s.run_id in ended for s in sources)):
                return
            read |= set() if shares else ended
            ended = {source.run_id for source in sources if source.is_over} - read
            time.sleep(_LATE_SECONDS)

    def _shares_containers(self, batch_id: str) -> bool:
        try:
            return self._desk.publisher.batches.get(batch_id).policy.shards_per_run > 1
        except BatchNotFound:  # it has left the ledger, and is over
            return False

    def _report(self, batch_id: str) -> BatchStatusReport:
        return self._desk.batch_status(batch_id, self._asked.org).report

    def _sources(self, batch_id: str) -> Iterator[LogSource]:
        report = self._report(batch_id)
        return self._places.of_batch(batch_id, sum(report["counts"].values()))

    def _group(self, region: str, group: str) -> GroupPosition:
        return GroupPosition(LogReader(self._places.client(region)), self._group_pace, group)

    def _position(self, source: LogSource) -> StreamPosition:
        reader = LogReader(self._places.client(source.region))
        place = source.place
        return StreamPosition(reader, self._stream_pace, place.group, place.stream, self._asked.since)

    def _events(self, position: StreamPosition) -> Iterable[LogEvent]:
        return position.new() if self._asked.tail is None else position.last(self._asked.tail)

    def _print(self, events: Iterable[LogEvent], source: LogSource | None, label: str = "") -> int:
        """Print what is wanted of some events, and return how many there were."""
        rendering, read = self._asked.rendering, 0
        tell = say_as_it_is if rendering.raw or rendering.as_json else say
        for event in events:
            read += 1
            text = rendering.text_of(event, source, label=label)
            if text is not None:
                tell(text)
        return read


def _by_group(sources: Iterable[LogSource]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for source in sources:
        found.setdefault((source.region, source.place.group), []).append(source.place.stream)
    return found


def _by_stream(sources: Iterable[LogSource]) -> dict[str, list[LogSource]]:
    """Return the shards by their streams: several that share a container share its stream."""
    found: dict[str, list[LogSource]] = {}
    for source in sources:
        found.setdefault(source.place.stream, []).append(source)
    return found


def _nothing(run: RunStatusReport) -> str:
    """Say why there is no log."""
    if run["task_arn"]:
        return f"the log of run {run['run_id']} is not in CloudWatch Logs, by its task definition"
    what = "had no container" if run["status"] in _FINAL else f"has no container yet: it is {run['phase']}"
    return f"run {run['run_id']} {what}"
