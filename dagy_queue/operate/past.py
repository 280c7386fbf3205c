"""What the record knows of runs that have left the ledger: for ``list`` and ``status`` of older runs and batches.

Its queries are an org's (``records/run_queries.py``): without an org, and in a program without AWS credentials, the
ledger alone counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from dagy_queue.aws.refusals import NO_CREDENTIALS, NO_TABLE
from dagy_queue.errors import AwsRefused
from dagy_queue.operate.filters import Filters
from dagy_queue.producer.batch_report import BatchStatusReport
from dagy_queue.producer.results import RunStatusReport
from dagy_queue.producer.status import as_text

if TYPE_CHECKING:
    from dagy_queue.records.run_queries import RunPage, RunSummary

_UNREADABLE = frozenset({NO_CREDENTIALS, NO_TABLE})
"""There is no way to read the record, or no table."""
_MOST = 100_000


def past_reports(filters: Filters, not_of: Callable[[], Sequence[str]] = tuple) -> Iterator[RunStatusReport]:
    """Yield what the record has of the runs that are asked for, the newest first, of a batch in order of its shards.

    Those of a correlation id come in the order of their own. What a list of the record does not have, outcomes, is left
    out: ``status`` of one of them has it. ``not_of`` is asked before each page which batches are to be left out of it.
    """
    for run in _asked(filters, not_of):
        report = _report(run)
        if filters.takes_run(report):
            yield report


def past_batch(batch_id: str, org: str) -> BatchStatusReport | None:
    """Return what the records of its runs say of an org's batch; None if there are none.

    What it tolerated is not recorded, so that its status is that of its runs: FAILED if one of them failed.
    """
    runs = list(islice(_asked(Filters(org=org, batch=batch_id)), _MOST))
    if not runs:
        return None
    counts = Counter(str(run.phase) for run in runs)
    statuses = {run.status for run in runs}
    order = ("RUNNING", "QUEUED", "FAILED", "CANCELLED", "SUCCEEDED")
    return BatchStatusReport(
        batch_id=batch_id,
        org_id=runs[0].org_id,
        flow_name=runs[0].flow_name,
        correlation_id=runs[0].correlation_id.rpartition(":")[0],
        status=next(status for status in order if status in statuses),
        total=len(runs),
        done=sum(run.completed_at is not None for run in runs),
        counts=counts,
        tolerated=0,
        cancel_reason="",
        error_message=None,
        created_at=as_text(min(run.created_at for run in runs)),
    )


def _asked(filters: Filters, not_of: Callable[[], Sequence[str]] = tuple) -> Iterator[RunSummary]:
    """Yield the summaries of runs that DynamoDB finds by their batch, correlation id, flow, or org alone."""
    if not filters.org:
        return
    from dagy_queue.records import run_queries as queries

    # The one of them that fewest runs have; the filters see to the others.
    query = partial(
        queries.runs_asked_for,
        filters.org,
        batch_id=filters.batch,
        correlation_id="" if filters.batch else filters.correlation_id,
        flow_name="" if filters.batch or filters.correlation_id else filters.flow,
    )

    def page(after: str) -> RunPage:
        wanted = queries.RunFilter(statuses=filters.statuses, since=filters.since, not_of=tuple(not_of()))
        return query(wanted=wanted, after=after)

    try:
        yield from queries.every_run(page)
    except AwsRefused as exc:
        if exc.code not in _UNREADABLE:
            raise


def _report(run: RunSummary) -> RunStatusReport:
    return RunStatusReport(
        run_id=run.run_id,
        org_id=run.org_id,
        flow_name=run.flow_name,
        flow_version=run.flow_version,
        status=run.status,
        phase=run.phase,
        attempt=run.attempt,
        correlation_id=run.correlation_id,
        batch_id=run.batch_id,
        shard=run.shard,
        task_arn=run.task_arn,
        created_at=as_text(run.created_at),
        started_at=as_text(run.started_at),
        completed_at=as_text(run.completed_at),
        error_message=run.error_message,
        outcome=None,
    )
