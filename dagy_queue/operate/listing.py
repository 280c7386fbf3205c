"""What ``dagy-queue list`` finds: runs and batches of the ledger, newest first, and older runs of the record.

A batch is one row; its shards are rows where they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from dagy_queue.ids import shard_id
from dagy_queue.ledger import Phase
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


class Rows:
    """Finds rows, newest first, and keeps the ledger's index clean of what it finds gone."""

    def __init__(self, desk: Desk, filters: Filters, *, shards: bool = False) -> None:
        self._desk = desk
        self._filters = filters
        self._shards = shards
        self._seen: set[str] = set()
        self._gone: list[Published] = []

    def find(self, most: int) -> list[RunRow | BatchRow]:
        """Return up to ``most`` rows. Raises RedisUnavailable, AwsError."""
        found: list[RunRow | BatchRow] = []
        for row in self._all():
            found.append(row)
            if len(found) == most:
                break
        if self._gone:
            self._desk.overview.forget(self._gone)
        return found

    def _all(self) -> Iterator[RunRow | BatchRow]:
        if not self._desk.is_direct:
            yield from self._of_batch(self._filters.batch) if self._filters.batch else self._of_ledger()
        for report in past_reports(self._filters):
            if report["run_id"] not in self._seen and not self._is_in_a_row(report):
                yield RunRow(kind="run", **report)

    def _is_in_a_row(self, report: RunStatusReport) -> bool:
        """Tell whether a run is a shard of a batch that has a row."""
        return not (self._shards or self._filters.batch) and report["batch_id"] in self._seen

    def _of_ledger(self) -> Iterator[RunRow | BatchRow]:
        for page in self._desk.overview.published(self._filters.since):
            for start in range(0, len(page), _AT_ONCE):
                yield from self._page(page[start : start + _AT_ONCE])

    def _page(self, page: Sequence[Published]) -> Iterator[RunRow | BatchRow]:
        fresh = [each for each in page if each.id not in self._seen]
        self._seen.update(each.id for each in fresh)
        runs = {r["run_id"]: r for r in self._runs([each.id for each in fresh if not each.is_batch])}
        briefs = self._desk.overview.batches([each.id for each in fresh if each.is_batch])
        batches = {brief.batch_id: report_of_batch(brief) for brief in briefs}
        for each in fresh:
            if run := runs.get(each.id):
                if self._filters.takes_run(run):
                    yield RunRow(kind="run", **run)
            elif batch := batches.get(each.id):
                yield from self._of_found_batch(batch)
            else:
                self._gone.append(each)

    def _of_found_batch(self, batch: BatchStatusReport) -> Iterator[RunRow | BatchRow]:
        if self._shards:
            if self._filters.may_have(batch):
                yield from self._of_batch(batch["batch_id"])
        elif self._filters.takes_batch(batch):
            yield BatchRow(kind="batch", **batch)

    def _of_batch(self, batch_id: str) -> Iterator[RunRow]:
        """Yield a batch's shards in order; phases are read first, since they tell most of them apart."""
        for brief in self._desk.overview.batches([batch_id]):
            total = sum(brief.counts.values())
            for start in range(0, total, _AT_ONCE):
                ids = [shard_id(batch_id, shard) for shard in range(start, min(total, start + _AT_ONCE))]
                for report in self._runs(self._wanted(ids)):
                    self._seen.add(report["run_id"])
                    if self._filters.takes_run(report):
                        yield RunRow(kind="run", **report)

    def _wanted(self, ids: Sequence[str]) -> list[str]:
        asked = self._filters.statuses
        if not asked:
            return list(ids)
        unsure = (Phase.STOPPED, Phase.QUEUED)  # the result may be there already
        found = self._desk.overview.phases(ids)
        return [run.run_id for run in found if run.phase and (run.phase in unsure or run.phase.status.value in asked)]

    def _runs(self, ids: Sequence[str]) -> list[RunStatusReport]:
        publisher = self._desk.publisher
        app, history = publisher.app, HistoryLedger(publisher.redis)
        entries = [snapshot.entry for snapshot in history.snapshots(ids)]
        return [report_of_entry(entry, app.AsyncResult(entry.run_id)) for entry in entries]


def as_lines(rows: Sequence[RunRow | BatchRow], now: datetime) -> Iterator[str]:
    """Yield a table for people."""
    if not rows:
        yield "nothing that fits"
        return
    yield from columns(_HEAD, [_cells(row, now) for row in rows])


def _cells(row: RunRow | BatchRow, now: datetime) -> tuple[str, ...]:
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
