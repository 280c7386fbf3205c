"""How ``dagy-queue status`` shows a run or a batch to people; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from dagy_queue.operate.finding import BatchStatus
from dagy_queue.operate.listing import PHASES
from dagy_queue.operate.text import aligned, counted, plural
from dagy_queue.outcome_text import outcome_rows
from dagy_queue.producer.batch_report import FailedShard
from dagy_queue.producer.results import RunStatusReport

_KINDS_SHOWN = 5


def run_lines(run: RunStatusReport) -> Iterator[str]:
    """Yield the lines of a run."""
    outcome = run["outcome"] or {}
    phase = "" if run["phase"] == run["status"] else f" ({run['phase']})"
    batch = run["batch_id"] if run["shard"] is None else f"{run['batch_id']}, shard {run['shard']}"
    ended_well = run["status"] == "SUCCEEDED"
    rows = [
        ("run", run["run_id"]),
        ("org", run["org_id"]),
        ("what", run["flow_name"]),
        ("correlation", run["correlation_id"]),
        ("batch", batch),
        ("status", f"{run['status']}{phase}"),
        ("attempt", str(run["attempt"])),
        ("created", run["created_at"] or ""),
        ("started", run["started_at"] or ""),
        ("ended", run["completed_at"] or ""),
        ("what happened", "" if ended_well else str(outcome.get("summary") or run["error_message"] or "")),
    ]
    told = dict(outcome_rows(outcome)) if not ended_well else {}
    told.setdefault("task", run["task_arn"])
    yield from aligned([*rows, *told.items()])


def batch_lines(found: BatchStatus) -> Iterator[str]:
    """Yield the lines of a batch."""
    batch = found.report
    total = "not counted yet" if batch["total"] is None else str(batch["total"])
    yield from aligned(
        [
            ("batch", batch["batch_id"]),
            ("org", batch["org_id"]),
            ("what", batch["flow_name"]),
            ("correlation", batch["correlation_id"]),
            ("status", batch["status"]),
            ("shards", f"{total}, {batch['done']} ended"),
            ("phases", counted(batch["counts"], PHASES)),
            ("tolerates", plural(batch["tolerated"], "failure") if batch["tolerated"] else ""),
            ("cancelled", batch["cancel_reason"]),
            ("refused", batch["error_message"] or ""),
            ("created", batch["created_at"] or ""),
        ]
    )
    yield from _why(found.failed, found.failures)


def _why(failed: Sequence[FailedShard], how_many: int) -> Iterator[str]:
    """Yield the kinds of failures, the most frequent first, each with a shard to look at."""
    if not failed:
        return
    kinds = Counter(_summary(shard) for shard in failed)
    yield ""
    of_those = f", by the first {len(failed)} of them" if how_many > len(failed) else ""
    yield f"why {plural(how_many, 'shard')} failed{of_those}:"
    for summary, count in kinds.most_common(_KINDS_SHOWN):
        first = next(shard for shard in failed if _summary(shard) == summary)
        yield f"  {count}x {summary}"
        if resolution := first["outcome"].get("resolution"):
            yield f"     what to do: {resolution}"
        yield f"     such as shard {first['shard']}: dagy-queue explain {first['run_id']}"
    if len(kinds) > _KINDS_SHOWN:
        yield f"  and {len(kinds) - _KINDS_SHOWN} other reasons"


def _summary(shard: FailedShard) -> str:
    return (str(shard["outcome"].get("summary") or "") or "no reason is known").splitlines()[0]
