"""The ledger's face for the record: which runs changed their phase, and what is known of them now.

Every script that changes a run's phase notes it in a stream, in the same step. The bridge's recorder
(``bridge/recorder.py``), one at a time (``ledger/leadership.py``), reads the stream from its beginning, writes the
runs as they are now, and then drops what it has read. What changes before the first bridge has started waits there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from dagy_queue.ledger.connection import LONGEST_BLOCK, RedisConnection
from dagy_queue.ledger.entries import ENTRY_FIELDS, SHARED_FIELDS, RunEntry, read_entry
from dagy_queue.ledger.errors import is_lasting
from dagy_queue.ledger.leadership import RECORDER, Leadership
from dagy_queue.ledger.streams import turn_off, turn_on
from dagy_queue.requests.shards import shard_request

_RUN_FIELDS = (*ENTRY_FIELDS, "request", "delta", "unfilled")
_BATCH_FIELDS = (*SHARED_FIELDS, "request")
_START = "0-0"


@dataclass(frozen=True, slots=True)
class Changes:
    """The oldest entries of the history: the runs that changed, each once, and where the entries after these begin."""

    run_ids: tuple[str, ...]
    entries: int
    next_id: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run as the ledger has it, and what was asked for; the request is empty before the run is parked."""

    entry: RunEntry
    request: Mapping[str, Any]
    unfilled: str = ""
    """The launch as it was published, as JSON, where templates were filled in; see ``dispatch/parking.py``."""


class HistoryLedger:
    """The history of runs."""

    def __init__(self, connection: RedisConnection) -> None:
        self.connection = connection
        self._stream = connection.key("history")

    def leadership(self, seconds: float) -> Leadership:
        """Return a recorder's claim to lead: as long as one does, changes are noted, and it drops what is recorded."""
        return Leadership(self.connection, RECORDER, seconds, prepare=self.open)

    def open(self) -> None:
        """See to it that changes are noted, also if somebody dropped the history."""
        turn_on(self.connection, self._stream)

    def drop(self) -> bool:
        """Forget the history and have nothing noted any more; False if some recorder leads."""
        return turn_off(self.connection, RECORDER, self._stream)

    def wait(self, seconds: float) -> bool:
        """Block until there is something to read, or ``seconds`` have passed; tell which."""
        block = int(min(seconds, LONGEST_BLOCK) * 1000)
        with self.connection.errors():
            return bool(self.connection.blocking_client.xread({self._stream: _START}, count=1, block=max(1, block)))

    def read(self, most: int) -> Changes:
        """Return up to ``most`` of the oldest entries. They stay until they are :meth:`done`."""
        with self.connection.errors():
            entries: Any = self.connection.client.xrange(self._stream, count=most)
        runs = dict.fromkeys(fields["run"] for _, fields in entries)
        return Changes(tuple(runs), len(entries), _after(entries[-1][0]) if entries else _START)

    def done(self, owner: str, changes: Changes) -> bool:
        """Drop entries that are recorded; False if the owner does not lead any more (the runs are noted again then)."""
        return bool(self.connection.run("history_done", owner, changes.next_id, *changes.run_ids))

    def snapshots(self, run_ids: Sequence[str]) -> list[Snapshot]:
        """Return the runs as they are now; those that the ledger has forgotten are left out."""
        runs = self._hashes("run", run_ids, _RUN_FIELDS)
        known = {run_id: fields for run_id, fields in zip(run_ids, runs, strict=True) if "phase" in fields}
        batch_ids = list(dict.fromkeys(fields["batch"] for fields in known.values() if "batch" in fields))
        batches = dict(zip(batch_ids, self._hashes("batch", batch_ids, _BATCH_FIELDS), strict=True))
        requests = {batch_id: json.loads(fields.get("request", "{}")) for batch_id, fields in batches.items()}
        return [
            Snapshot(
                read_entry(run_id, fields, batches.get(fields.get("batch", ""), {})),
                _request(fields, requests.get(fields.get("batch", ""), {})),
                fields.get("unfilled", ""),
            )
            for run_id, fields in known.items()
        ]

    def _hashes(self, kind: str, ids: Sequence[str], names: Sequence[str]) -> list[dict[str, str]]:
        """Read some fields of several hashes in one round trip; what is no hash has none."""
        with self.connection.errors():
            pipeline = self.connection.client.pipeline(transaction=False)
            for identifier in ids:
                pipeline.hmget(self.connection.key(kind, identifier), names)
            rows = pipeline.execute(raise_on_error=False) if ids else []
            rows = [_nothing_if_lasting(row, len(names)) for row in rows]
        return [{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in rows]


def _nothing_if_lasting(row: Any, fields: int) -> Any:
    """Return a row, or an empty one where reading it fails and always will. Raises what passes."""
    if not isinstance(row, RedisError):
        return row
    if is_lasting(row):
        return [None] * fields
    raise row


def _request(fields: Mapping[str, str], shared: Mapping[str, Any]) -> Mapping[str, Any]:
    if "shard" in fields and shared:
        delta = json.loads(fields.get("delta") or "{}")
        return shard_request(shared, delta, int(fields["shard"]))
    own: Mapping[str, Any] = json.loads(fields.get("request") or "{}")
    return own


def _after(entry_id: str) -> str:
    milliseconds, _, sequence = entry_id.partition("-")
    return f"{milliseconds}-{int(sequence) + 1}"
