"""What ``dagy-queue list`` finds: runs and batches of the ledger and runs of the record, newest first.

A batch is one row; its shards are rows where they are asked for, in order, and stand where their batch would. The
ledger forgets what succeeded long before what failed, and never had what was launched without a queue: what the record
alone has may be newer than what the ledger has. Both are read as far as rows are asked for.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from dagy_queue.ids import shard_id
from dagy_queue.ledger import Phase
from dagy_queue.ledger.briefs import BatchBrief
from dagy_queue.ledger.history import HistoryLedger
from dagy_queue.ledger.overview import Published
from dagy_queue.operate.filters import Filters
from dagy_queue.operate.finding import Desk
from dagy_queue.operate.past import past_reports
from dagy_queue.operate.text import age_of, columns, counted
from dagy_queue.producer.batch_report import BatchStatusReport, report_of_batch
from dagy_queue.producer.results import RunStatusReport
from dagy_queue.producer.status import report_of_entry

_AT_ONCE = 200
_HEAD = ("ID", "STATUS", "WHAT", "ORG", "AGE", "")
_LONGEST_WHAT, _LONGEST_TEXT = 40, 100
PHASES = tuple(phase.value for phase in Phase)


class RunRow(RunStatusReport):
    """A run, in JSON."""

    kind: Literal["run"]


class BatchRow(BatchStatusReport):
    """A batch, in JSON."""

    kind: Literal["batch"]


Row = RunRow | BatchRow


class _Found(NamedTuple):
    at: datetime
    row: Row
    is_past: bool = False
    """Whether it is the record's."""


class Rows:
    """Finds rows, newest first, and keeps the ledger's index clean of what it finds gone."""

    def __init__(self, desk: Desk, filters: Filters, *, shards: bool = False) -> None:
        self._desk = desk
        self._filters = filters
        self._shards = shards
        self._seen: set[str] = set()
        """Runs and batches that the ledger has, whether or not they are asked for."""
        self._gone: list[Published] = []
        self._has_row: dict[str, bool] = {}
        """Of batches that the record names: whether the ledger's rows have it, or its shards."""

    def find(self, most: int) -> list[Row]:
        """Return up to ``most`` rows. Raises RedisUnavailable, AwsError."""
        found: list[Row] = []
        for row in self._all():
            found.append(row)
            if len(found) == most:
                break
        if self._gone:
            self._desk.overview.forget(self._gone)
        return found

    def _all(self) -> Iterator[Row]:
        if not self._filters.batch:
            return self._newest_first()
        briefs = [] if self._desk.is_direct else self._desk.overview.batches([self._filters.batch])
        return self._of_batch(briefs[0]) if briefs else map(_run_row, past_reports(self._filters))

    def _newest_first(self) -> Iterator[Row]:
        listed: set[str] = set()
        ledger = () if self._desk.is_direct else self._of_ledger()
        for found in heapq.merge(ledger, self._of_record(), key=lambda each: each.at, reverse=True):
            row = found.row
            if row["kind"] == "run":
                if row["run_id"] in listed or (found.is_past and self._is_known(row)):
                    continue
                listed.add(row["run_id"])
            yield row

    def _of_record(self) -> Iterator[_Found]:
        """Yield what the record has, also what is known: looking for what is not may mean to read all of a batch."""
        reports: Iterable[RunStatusReport] = past_reports(self._filters, self._with_row)
        if self._filters.correlation_id:  # in the order of their ids
            reports = sorted((each for each in reports if not self._is_known(each)), key=_when, reverse=True)
        for report in reports:
            yield _Found(_when(report), _run_row(report), is_past=True)

    def _is_known(self, report: RunStatusReport) -> bool:
        """Tell whether a run of the record is the ledger's to list: by itself, or with its batch."""
        if report["run_id"] in self._seen:
            return True
        batch_id = report["batch_id"]
        if not batch_id or self._desk.is_direct:
            return False
        if batch_id not in self._has_row:
            self._has_row[batch_id] = self._is_listed(batch_id)
        return self._has_row[batch_id]

    def _with_row(self) -> list[str]:
        return [batch_id for batch_id, has_row in self._has_row.items() if has_row]

    def _is_listed(self, batch_id: str) -> bool:
        at, since = self._desk.overview.published_batch(batch_id), self._filters.since
        if at is None or (since is not None and at < since):
            return False
        return not self._shards or any(map(self._may_have, self._desk.overview.batches([batch_id])))

    def _may_have(self, brief: BatchBrief) -> bool:
        return self._filters.may_have(report_of_batch(brief))

    def _of_ledger(self) -> Iterator[_Found]:
        for page in self._desk.overview.published(self._filters.since):
            for start in range(0, len(page), _AT_ONCE):
                yield from self._page(page[start : start + _AT_ONCE])

    def _page(self, page: Sequence[Published]) -> Iterator[_Found]:
        fresh = [each for each in page if each.id not in self._seen]
        runs = {r["run_id"]: r for r in self._runs([each.id for each in fresh if not each.is_batch])}
        briefs = self._desk.overview.batches([each.id for each in fresh if each.is_batch])
        batches = {brief.batch_id: brief for brief in briefs}
        self._seen.update(runs, batches)
        for each in fresh:
            if run := runs.get(each.id):
                if self._filters.takes_run(run):
                    yield _Found(each.at, _run_row(run))
            elif brief := batches.get(each.id):
                yield from (_Found(each.at, row) for row in self._of_found_batch(brief))
            else:
                self._gone.append(each)

    def _of_found_batch(self, brief: BatchBrief) -> Iterator[Row]:
        if self._shards:
            if self._may_have(brief):
                yield from self._of_batch(brief)
        elif self._filters.takes_batch(batch := report_of_batch(brief)):
            yield BatchRow(kind="batch", **batch)

    def _of_batch(self, brief: BatchBrief) -> Iterator[RunRow]:
        """Yield a batch's shards in order: the ledger's, and those that the record alone has."""
        if not any(self._filters.may_take(phase) for phase in brief.counts):
            return
        ledger = ((report, False) for report in self._shards_of(brief))
        record = ((report, True) for report in past_reports(replace(self._filters, batch=brief.batch_id)))
        for report, is_past in heapq.merge(ledger, record, key=lambda each: each[0]["shard"] or 0):
            if not (is_past and report["run_id"] in self._seen):
                yield _run_row(report)

    def _shards_of(self, brief: BatchBrief) -> Iterator[RunStatusReport]:
        total = 0 if self._is_forgotten(brief) else sum(brief.counts.values())
        for start in range(0, total, _AT_ONCE):
            ids = [shard_id(brief.batch_id, shard) for shard in range(start, min(total, start + _AT_ONCE))]
            for report in self._runs(self._wanted(ids) if brief.is_over or self._filters.statuses else ids):
                self._seen.add(report["run_id"])
                if self._filters.takes_run(report):
                    yield report

    def _is_forgotten(self, brief: BatchBrief) -> bool:
        """Tell whether no shard is left: all have succeeded, and even the last that did is forgotten."""
        if not brief.is_over or any(count for phase, count in brief.counts.items() if phase.status.ended_badly):
            return False
        last = self._desk.overview.last_ended(brief.batch_id)
        return last is not None and last.phase is None

    def _wanted(self, ids: Sequence[str]) -> list[str]:
        """Return the runs that are worth reading; their phases tell, which cost less."""
        known = [(run.run_id, run.phase) for run in self._desk.overview.phases(ids) if run.phase]
        self._seen.update(run_id for run_id, _ in known)
        return [run_id for run_id, phase in known if self._filters.may_take(phase)]

    def _runs(self, ids: Sequence[str]) -> list[RunStatusReport]:
        publisher = self._desk.publisher
        app, history = publisher.app, HistoryLedger(publisher.redis)
        entries = [snapshot.entry for snapshot in history.snapshots(ids)]
        return [report_of_entry(entry, app.AsyncResult(entry.run_id)) for entry in entries]


def _run_row(report: RunStatusReport) -> RunRow:
    return RunRow(kind="run", **report)


def _when(report: RunStatusReport) -> datetime:
    return datetime.fromisoformat(report["created_at"]) if report["created_at"] else datetime.min.replace(tzinfo=UTC)


def as_lines(rows: Sequence[Row], now: datetime) -> Iterator[str]:
    """Yield a table for people."""
    if not rows:
        yield "nothing that fits"
        return
    yield from columns(_HEAD, [_cells(row, now) for row in rows])


def _cells(row: Row, now: datetime) -> tuple[str, ...]:
    what, when = _cut(row["flow_name"], _LONGEST_WHAT), age_of(row["created_at"], now)
    if row["kind"] == "run":
        return row["run_id"], row["status"], what, row["org_id"], when, _cut(_about_run(row), _LONGEST_TEXT)
    return row["batch_id"], row["status"], what, row["org_id"], when, _cut(_about_batch(row), _LONGEST_TEXT)


def _about_run(row: RunRow) -> str:
    shard = "" if row["shard"] is None else f"shard {row['shard']} "
    attempt = f"attempt {row['attempt']} " if row["attempt"] > 1 else ""
    phase = "" if row["phase"] == row["status"] else f"{row['phase'].lower()} "
    why = (row["error_message"] or "").partition("\n")[0]
    return f"{shard}{attempt}{phase}{why}".strip()


def _about_batch(row: BatchRow) -> str:
    if row["error_message"]:
        return row["error_message"].partition("\n")[0]
    total = "its shards are being counted" if row["total"] is None else f"{row['done']} of {row['total']} shards ended"
    return f"{total}; {counted(row['counts'], PHASES)}".rstrip("; ")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
