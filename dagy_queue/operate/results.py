"""The results of runs and batches for ``dagy-queue results``: one of each run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from dagy_queue.aws.refusals import NO_CREDENTIALS
from dagy_queue.errors import AwsRefused, ResultExpired, RunCancelled, RunFailed, RunNotFound
from dagy_queue.ids import shard_id
from dagy_queue.ledger import BatchRecord, RunStatus
from dagy_queue.ledger.overview import Overview
from dagy_queue.messaging.shard_results import PAGE
from dagy_queue.operate.finding import Target
from dagy_queue.producer import RunHandle
from dagy_queue.producer.ends import STATUS_OF_STATE
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.results import RunStatusReport
from dagy_queue.producer.shards import ShardResult, shard_results
from dagy_queue.producer.status import find_status
from dagy_queue.producer.waiting import reading

_NOT_KEPT = "its result is not kept any more"


class ResultReport(TypedDict):
    """What a run returned, ready for JSON."""

    run_id: str
    shard: int | None
    """Its place in its batch, where a batch was asked for."""
    status: str | None
    """QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED; None once what it returned is not kept any more."""
    value: Any
    error: str
    outcome: Mapping[str, Any] | None
    """How it ended, if not well."""


def results_of(publisher: Publisher, target: Target) -> Iterator[ResultReport]:
    """Yield the result of a run, or of each shard of a batch in order.

    Of one that is over and whose Celery result is gone, what a flow returned is read from S3. Raises BatchNotFound,
    RunFailed for a batch whose manifest cannot be run or is not counted yet, RedisUnavailable, AwsError.
    """
    if not target.is_batch:
        yield _of_run(publisher, target.id)
        return
    batch = publisher.batches.get(target.id)
    if batch.refused:
        raise RunFailed(f"batch {target.id} has no results: {batch.refused}")
    if not batch.is_counted:
        raise RunFailed(f"batch {target.id} has no results yet: its shards are not counted; --wait waits for them")
    afar = _Afar(publisher)
    for first in range(0, batch.total, PAGE):
        yield from _of_shards(publisher, batch, range(first, min(first + PAGE, batch.total)), afar)


def is_bad(result: ResultReport) -> bool:
    """Tell whether a run failed or was cancelled."""
    return _ended_badly(result["status"])


def _ended_badly(status: str | None) -> bool:
    return status is not None and RunStatus(status).ended_badly


def is_well(result: ResultReport) -> bool:
    """Tell whether a run succeeded, and what it returned is there."""
    return result["status"] == "SUCCEEDED"


def as_line(result: ResultReport) -> str:
    """Return a result for people: of a run its value, of a shard its number and status before that."""
    status = result["status"]
    text = _text(result)
    if result["shard"] is not None:
        return f"{result['shard']}  {status or '-'}  {text}"
    if is_well(result):
        return text
    if is_bad(result):
        return f"{status}: {text}"
    going_on = f"run {result['run_id']} is {status} and has {text}; --wait waits for it"
    return going_on if status else f"run {result['run_id']} is over: {text}"


def _text(result: ResultReport) -> str:
    if is_well(result):
        return json.dumps(result["value"], ensure_ascii=False)
    if is_bad(result):
        return result["error"] or "cancelled"
    if result["status"]:
        return "no result yet"
    return f"its result is not in Redis any more; {result['error']}" if result["error"] else _NOT_KEPT


def _of_shards(publisher: Publisher, batch: BatchRecord, shards: range, afar: _Afar) -> Iterator[ResultReport]:
    """Yield the results of some shards. Phases are read first: what has ended by then is not said to go on."""
    phases = Overview(publisher.redis).phases([shard_id(batch.batch_id, shard) for shard in shards])
    for run, shard in zip(phases, shard_results(publisher, batch, shards), strict=True):
        if shard.is_kept or (shard.status and shard.status.ended_badly):
            yield _of_shard(shard, run.phase.status if run.phase else RunStatus.QUEUED)
        else:
            yield ResultReport(**afar.result(shard.run_id) | {"shard": shard.index})


def _of_shard(shard: ShardResult, before: RunStatus) -> ResultReport:
    """Return a shard's result; where there is none, how it ended badly, or that it went on before."""
    return ResultReport(
        run_id=shard.run_id,
        shard=shard.index,
        status=(shard.status or before).value,
        value=shard.value,
        error=shard.error,
        outcome=shard.outcome,
    )


def _of_run(publisher: Publisher, run_id: str) -> ResultReport:
    """Return a run's result. Its status is read first: what has ended by then has a result that can be kept."""
    known = find_status(publisher, run_id)
    found = RunHandle(run_id, publisher).result
    with reading(found):
        state, value = found.state, found.result
    status = STATUS_OF_STATE.get(state)
    if status is None:
        has_succeeded = known is not None and known["status"] == RunStatus.SUCCEEDED
        return _Afar(publisher).result(run_id) if has_succeeded else _of_run_without_result(run_id, known)
    return ResultReport(
        run_id=run_id,
        shard=None,
        status=status.value,
        value=value if state == "SUCCESS" else None,
        error=str(value) if isinstance(value, BaseException) else "",
        outcome=value.outcome if isinstance(value, RunFailed) else None,
    )


class _Afar:
    """What is kept of results that Celery has no more, as far as records and S3 tell; asked for no more once AWS wants
    credentials that are not there."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._why_not = ""

    def result(self, run_id: str) -> ResultReport:
        """Return what a run that is over returned, or how it ended. Raises RedisUnavailable, AwsError."""
        gone = _of_run_without_result(run_id, None)
        if self._why_not:
            return ResultReport(**gone | {"error": self._why_not})
        try:
            value = RunHandle(run_id, self._publisher).get(timeout=0)
        except (ResultExpired, RunNotFound):
            return gone
        except (RunFailed, RunCancelled):
            return _of_run_without_result(run_id, find_status(self._publisher, run_id))
        except AwsRefused as exc:
            if exc.code != NO_CREDENTIALS:
                raise
            self._why_not = f"it is read from S3, and {exc}"
            return self.result(run_id)
        succeeded = RunStatus.SUCCEEDED.value
        return ResultReport(run_id=run_id, shard=None, status=succeeded, value=value, error="", outcome=None)


def _of_run_without_result(run_id: str, known: RunStatusReport | None) -> ResultReport:
    """Return how a run ended badly whose result is not kept any more, or never was; else that there is none."""
    bad = known if known and _ended_badly(known["status"]) else None
    return ResultReport(
        run_id=run_id,
        shard=None,
        status=known["status"] if known else None,
        value=None,
        error=(bad["error_message"] or "") if bad else "",
        outcome=bad["outcome"] if bad else None,
    )
