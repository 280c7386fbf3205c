"""Keeps the record: one thread over all bridges that takes what changed from the ledger's history to DynamoDB.

``bridge/service.py`` starts it. It writes whole items as the ledger has them at that moment, so writing one again is
harmless. DynamoDB being slow, absent or refusing delays the record and nothing else: the history waits in Redis.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from dagy_queue.aws.refusals import NO_TABLE
from dagy_queue.bridge.snapshots import record_of
from dagy_queue.bridge.turned_off import keeping_off
from dagy_queue.errors import AwsError, AwsRefused, RedisUnavailable
from dagy_queue.ledger import RedisConnection
from dagy_queue.ledger.history import Changes, HistoryLedger, Snapshot
from dagy_queue.records.models import bind_models
from dagy_queue.records.runs import RunRecord, put_run, write_runs
from dagy_queue.settings import EcsSettings, RecordsSettings, Settings

log = structlog.get_logger(__name__)

BATCH = 1000
"""Entries of the history read at a time."""
LEASE_SECONDS = 30.0
_IDLE_WAIT = 2.0
"""Seconds of one blocking wait: the longest that an idle recorder takes to stop."""
_FIRST_BACKOFF, _LONGEST_BACKOFF = 1.0, 60.0
_FAULTS_OF_AN_ITEM = frozenset({"ValidationException", "SerializationException"})


def recording(settings: Settings, connection: RedisConnection) -> Callable[[threading.Event], None]:
    """Return the loop that records until it is told to stop; where records are off, it forgets the history instead."""
    bind_models(settings)
    history = HistoryLedger(connection)
    if not settings.records.enabled:
        return keeping_off(history.drop)
    return Recorder(history, settings.records, settings.ecs).run


class Recorder:
    """A loop over read, write, drop."""

    def __init__(self, history: HistoryLedger, settings: RecordsSettings, ecs: EcsSettings | None = None) -> None:
        """``ecs`` says where the logs of containers are; without it no record does."""
        self._history = history
        self._settings = settings
        self._ecs = ecs
        self._leadership = history.leadership(LEASE_SECONDS)
        self._failing: str = ""

    def run(self, stopping: threading.Event) -> None:
        """Record until told to stop. What fails is repeated with growing delays."""
        backoff = _FIRST_BACKOFF
        while not stopping.is_set():
            try:
                self._step(stopping)
                self._recovered()
                backoff = _FIRST_BACKOFF
            except Exception as exc:  # noqa: BLE001 - whatever it is, the thread goes on
                self._failed(exc)
                self._wait(backoff, stopping)
                backoff = min(_LONGEST_BACKOFF, backoff * 2)
        self._resign()

    def turn(self) -> int:
        """Record the oldest entries; return how many they were. Raises AwsError, RedisUnavailable."""
        changes = self._history.read(BATCH)
        if changes.entries:
            self._record(changes)
            if not self._history.done(self._leadership.owner, changes):
                self._leadership.doubt()
        return changes.entries

    def _step(self, stopping: threading.Event) -> None:
        if not self._leadership.leads():
            stopping.wait(LEASE_SECONDS / 3)
        elif self._history.wait(_IDLE_WAIT):
            stopping.wait(self._settings.linger)
            while self._leadership.leads() and self.turn() == BATCH and not stopping.is_set():
                pass

    def _wait(self, seconds: float, stopping: threading.Event) -> None:
        """Wait after a failure, and keep the lead meanwhile: what waits to be recorded is this recorder's."""
        over = time.monotonic() + seconds
        while (left := over - time.monotonic()) > 0 and not stopping.wait(min(left, LEASE_SECONDS / 3)):
            with suppress(RedisUnavailable):
                self._leadership.leads()

    def _record(self, changes: Changes) -> None:
        snapshots = self._history.snapshots(changes.run_ids)
        if missing := len(changes.run_ids) - len(snapshots):
            log.warning("runs_not_recorded", runs=missing, reason="they left the ledger before they were recorded")
        records = [record for snapshot in snapshots if (record := self._record_of(snapshot)) is not None]
        try:
            write_runs(records)
        except Exception as exc:
            if not _is_fault_of_an_item(exc):
                raise
            self._write_each(records)

    def _record_of(self, snapshot: Snapshot) -> RunRecord | None:
        """Return the record of a run; None where making it fails: a defect of ours, which holds up no other run."""
        try:
            return record_of(snapshot, self._ecs)
        except Exception:
            log.exception("run_not_recorded", run_id=snapshot.entry.run_id)
            return None

    def _write_each(self, records: list[RunRecord]) -> None:
        """Write records one by one, so that one that DynamoDB cannot take does not hold up the others."""
        refused = 0
        for record in records:
            try:
                put_run(record)
            except Exception as exc:
                refused += 1
                # If it takes none of them, the table is wrong, not what they hold; but for their size.
                if not _is_fault_of_an_item(exc) or (refused == len(records) and not _is_too_large(exc)):
                    raise
                log.warning("run_not_recorded", run_id=record.run_id, error=str(exc))

    def _failed(self, error: Exception) -> None:
        """Log a failure, once for as long as it is the same kind."""
        kind = f"{type(error).__name__}/{getattr(error, 'code', '')}"
        if kind == self._failing:
            return
        self._failing = kind
        known = isinstance(error, AwsError | RedisUnavailable)
        log.warning("recording_failed", error=_explained(error, self._settings), exc_info=not known)

    def _recovered(self) -> None:
        if self._failing:
            self._failing = ""
            log.info("recording_again")

    def _resign(self) -> None:
        try:
            self._leadership.resign()
        except RedisUnavailable as exc:
            log.info("lead_not_resigned", error=str(exc))


def _is_fault_of_an_item(error: Exception) -> bool:
    """Tell whether a write failed for what an item holds, not for the state of DynamoDB or the network."""
    if isinstance(error, AwsRefused):
        return error.code in _FAULTS_OF_AN_ITEM
    return isinstance(error, ValueError | TypeError)


def _explained(error: Exception, settings: RecordsSettings) -> str:
    if isinstance(error, AwsRefused) and error.code == NO_TABLE:
        return (
            f"{error}; there is no table {settings.runs_table!r}: create it (partition key run_id, a string), name "
            "another with DAGY_QUEUE__RECORDS__RUNS_TABLE, or set DAGY_QUEUE__RECORDS__ENABLED=false. Runs go on, "
            "and are recorded once it is there"
        )
    return str(error)


def _is_too_large(error: Exception) -> bool:
    return "item size" in str(error).lower()
