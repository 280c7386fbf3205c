"""The log of one container for the whole, as Heimdall has it.

Of a batch that succeeded it is the shard that finished last, of one that failed the shard that failed first, and of one
that ran out of time or was cancelled a shard that had not finished. Each line is ``[YYYY-MM-DD HH:MM:SS] message``,
under ``=== stream ===``; on stdout for success, on stderr for anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import typer

from dagy_queue.aws.log_reader import LogEvent, LogReader
from dagy_queue.errors import RunNotFound
from dagy_queue.ids import shard_id
from dagy_queue.ledger import Phase
from dagy_queue.operate.container_logs.pace import STREAM_CALLS, Pace
from dagy_queue.operate.container_logs.places import LogSource, Places
from dagy_queue.operate.container_logs.reading import StreamPosition
from dagy_queue.operate.container_logs.rendering import representative_line
from dagy_queue.operate.finding import Desk, Target
from dagy_queue.operate.output import note
from dagy_queue.operate.text import visible

_PAGE = 1000
_CANDIDATES = 20
_SUCCEEDED = "SUCCEEDED"


def show_representative(desk: Desk, target: Target, org: str = "") -> None:
    """Print the log of a run, or of the shard that stands for a batch. Raises RedisUnavailable, AwsError."""
    places = Places(desk)
    if target.is_batch:
        status = desk.batch_status(target.id, org).report["status"]
        candidates = (shard_id(target.id, shard) for shard in _candidates(desk, target.id, status))
        found = (_source(places, run_id) for run_id in islice(candidates, _CANDIDATES))
        source = next((each for each in found if each is not None), None)
    else:
        status = desk.run_status(target.id)["status"]
        source = places.of_run(target.id)
    if source is None:
        note(f"no container of {target.id} has a log that is known")
        return
    place = source.place
    position = StreamPosition(LogReader(places.client(source.region)), Pace(STREAM_CALLS), place.group, place.stream)
    for line in lines(source, position.new()):
        typer.echo(visible(line), err=status != _SUCCEEDED)


def lines(source: LogSource, events: Iterable[LogEvent]) -> Iterator[str]:
    """Yield the heading and a line for each event."""
    yield f"=== {source.place.stream} ==="
    yield from map(representative_line, events)


def _source(places: Places, run_id: str) -> LogSource | None:
    """Return the log of a shard; None if it has none, or nobody knows the shard any more."""
    try:
        return places.of_run(run_id)
    except RunNotFound:
        return None


def _candidates(desk: Desk, batch_id: str, status: str) -> Iterator[int]:
    """Yield shards, the best first."""
    if status == "FAILED":
        yield from desk.overview.ended_as(batch_id, Phase.FAILED)
    elif status == _SUCCEEDED:
        yield from _succeeded(desk, batch_id)
    else:
        yield from desk.overview.ended_as(batch_id, Phase.CANCELLED)
        yield from range(_CANDIDATES)


def _succeeded(desk: Desk, batch_id: str) -> Iterator[int]:
    """Yield some of the shards that ended last, the last one first; those that the ledger has forgotten succeeded."""
    ended = desk.publisher.batches.ended_shards(batch_id, -_PAGE, _PAGE)
    found = desk.overview.phases([shard_id(batch_id, shard) for shard in ended])
    for shard, run in reversed(list(zip(ended, found, strict=True))):
        if run.phase in (Phase.SUCCEEDED, None):
            yield shard
