"""The results of runs and batches for ``dagy-queue results``: one of each run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from dagy_queue.errors import RunFailed
from dagy_queue.operate.finding import Target
from dagy_queue.producer import BatchHandle, RunHandle
from dagy_queue.producer.ends import STATUS_OF_STATE
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.status import find_status
from dagy_queue.producer.waiting import reading

_BAD = ("FAILED", "CANCELLED")


class ResultReport(TypedDict):
    """What a run returned, ready for JSON."""

    run_id: str
    shard: int | None
    """Its place in its batch, where a batch was asked for."""
    status: str | None
    """SUCCEEDED, FAILED or CANCELLED; None while it goes on, and once what it returned is not kept any more."""
    value: Any
    error: str
    outcome: Mapping[str, Any] | None
    """How it ended, if not well."""


def results_of(publisher: Publisher, target: Target) -> Iterator[ResultReport]:
    """Yield the result of a run, or of each shard of a batch in order.

    Raises BatchNotFound, RunFailed for a batch whose manifest cannot be run, RedisUnavailable.
    """
    if not target.is_batch:
        yield _of_run(publisher, target.id)
        return
    if refused := publisher.batches.get(target.id).refused:
        raise RunFailed(f"batch {target.id} has no results: {refused}")
    for shard in BatchHandle(target.id, publisher).results():
        yield ResultReport(
            run_id=shard.run_id,
            shard=shard.index,
            status=shard.status.value if shard.status else None,
            value=shard.value,
            error=shard.error,
            outcome=shard.outcome,
        )


def is_bad(result: ResultReport) -> bool:
    """Tell whether a run failed or was cancelled."""
    return result["status"] in _BAD


def as_line(result: ResultReport) -> str:
    """Return a result for people: of a run its value, of a shard its number and status before that."""
    if result["status"] is None:
        text = "has not ended yet, or its result is not kept any more"
    elif is_bad(result):
        text = result["error"] or "cancelled"
    else:
        text = json.dumps(result["value"], ensure_ascii=False)
    if result["shard"] is None:
        return text if result["status"] == "SUCCEEDED" else f"{result['status'] or 'no result'}: {text}"
    return f"{result['shard']}  {result['status'] or '-'}  {text}"


def _of_run(publisher: Publisher, run_id: str) -> ResultReport:
    found = RunHandle(run_id, publisher).result
    with reading(found):
        state, value = found.state, found.result
    status = STATUS_OF_STATE.get(state)
    if status is None:
        return _of_run_without_result(publisher, run_id)
    return ResultReport(
        run_id=run_id,
        shard=None,
        status=status.value,
        value=value if state == "SUCCESS" else None,
        error=str(value) if isinstance(value, BaseException) else "",
        outcome=value.outcome if isinstance(value, RunFailed) else None,
    )


def _of_run_without_result(publisher: Publisher, run_id: str) -> ResultReport:
    """Return how a run ended badly whose result is not kept any more, or never was; else that there is none."""
    found = find_status(publisher, run_id)
    bad = found if found and found["status"] in _BAD else None
    return ResultReport(
        run_id=run_id,
        shard=None,
        status=bad["status"] if bad else None,
        value=None,
        error=(bad["error_message"] or "") if bad else "",
        outcome=bad["outcome"] if bad else None,
    )
