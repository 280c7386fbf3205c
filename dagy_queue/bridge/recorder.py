"""Keeps the record: one thread over all bridges that takes what changed from the ledger's history to DynamoDB.

``bridge/service.py`` starts it. It writes whole items as the ledger has them at that moment, so writing one again is
harmless. DynamoDB being slow, absent or refusing delays the record and nothing else: the history waits in Redis.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from dagy_queue.bridge.snapshots import record_of
from dagy_queue.errors import AwsError, AwsRefused, RedisUnavailable
from dagy_queue.ids import new_id
from dagy_queue.ledger import RedisConnection
from dagy_queue.ledger.history import Changes, HistoryLedger
from dagy_queue.records.models import bind_models
from dagy_queue.records.runs import RunRecord, put_run, write_runs
from dagy_queue.settings import RecordsSettings, Settings

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
    return Recorder(history, settings.records).run if settings.records.enabled else _forgetting(history)


class Recorder:
    """A loop over read, write, drop."""

    def __init__(self, history: HistoryLedger, settings: RecordsSettings) -> None:
        self._history = history
        self._settings = settings
        self._owner = new_id()
        self._renew_at = 0.0
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
                stopping.wait(backoff)
                backoff = min(_LONGEST_BACKOFF, backoff * 2)
        self._resign()

    def turn(self) -> int:
        """Record the oldest entries; return how many they were. Raises AwsError, RedisUnavailable."""
        changes = self._history.read(BATCH)
        if changes.entries:
            self._record(changes)
            if not self._history.done(self._owner, changes):
                self._renew_at = 0.0
        return changes.entries

    def _step(self, stopping: threading.Event) -> None:
        if not self._leads():
            stopping.wait(LEASE_SECONDS / 3)
        elif self._history.wait(_IDLE_WAIT):
            stopping.wait(self._settings.linger)
            while self._leads() and self.turn() == BATCH and not stopping.is_set():
                pass

    def _leads(self) -> bool:
        """Tell whether this recorder is the one, renewing its lease when a third of it has passed."""
        now = time.monotonic()
        if now < self._renew_at:
            return True
        if not self._history.claim(self._owner, LEASE_SECONDS):
            return False
        self._renew_at = now + LEASE_SECONDS / 3
        return True

    def _record(self, changes: Changes) -> None:
        snapshots = self._history.snapshots(changes.run_ids)
        if missing := len(changes.run_ids) - len(snapshots):
            log.warning("runs_not_recorded", runs=missing, reason="they left the ledger before they were recorded")
        records = [record_of(snapshot) for snapshot in snapshots]
        try:
            write_runs(records)
        except Exception as exc:
            if not _is_fault_of_an_item(exc):
                raise
            self._write_each(records)

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
            self._history.release(self._owner)
        except RedisUnavailable as exc:
            log.info("lease_not_released", error=str(exc))


def _forgetting(history: HistoryLedger) -> Callable[[threading.Event], None]:
    def forget(stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                history.drop()
            except RedisUnavailable:
                stopping.wait(_FIRST_BACKOFF)
            else:
                return

    return forget


def _is_fault_of_an_item(error: Exception) -> bool:
    """Tell whether a write failed for what an item holds, not for the state of DynamoDB or the network."""
    if isinstance(error, AwsRefused):
        return error.code in _FAULTS_OF_AN_ITEM
    return isinstance(error, ValueError | TypeError)


def _explained(error: Exception, settings: RecordsSettings) -> str:
    if isinstance(error, AwsRefused) and error.code == "ResourceNotFoundException":
        return (
            f"{error}; there is no table {settings.runs_table!r}: create it (partition key run_id, a string), name "
            "another with DAGY_QUEUE__RECORDS__RUNS_TABLE, or set DAGY_QUEUE__RECORDS__ENABLED=false. Runs go on, "
            "and are recorded once it is there"
        )
    return str(error)


def _is_too_large(error: Exception) -> bool:
    return "item size" in str(error).lower()
