"""What became of a run and what comes next, as plain data: ``dagy-queue explain`` and ``DagLauncher.explain``.

From the ledger while the run is there, from its record after that, as ``producer/status.py`` does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from dagy_queue.errors import AwsError, RequestInvalid
from dagy_queue.launching.logs import log_of
from dagy_queue.ledger import Phase, RunEntry, RunStatus
from dagy_queue.ledger.history import HistoryLedger
from dagy_queue.producer.ends import as_it_ends
from dagy_queue.producer.kept import find_record
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.status import as_text
from dagy_queue.requests import ContainerRequest, LaunchRequest, read_request
from dagy_queue.requests.retry_policy import over_policy

if TYPE_CHECKING:
    from dagy_queue.records.runs import RunRecord
    from dagy_queue.settings import EcsSettings

_OVER = "nothing: the run is over"
_IF_CANCELLED = "nothing is wrong with the run: launch it again if it is still wanted"

_NEXT = {
    Phase.QUEUED: "a dispatcher takes it from the queue",
    Phase.HELD: "its task is launched when there is room for it",
    Phase.SUBMITTING: "its task is being launched",
    Phase.SUBMITTED: "its task starts",
    Phase.PROVISIONING: "its task starts",
    Phase.PENDING: "its task starts",
    Phase.RUNNING: "its container runs",
    Phase.STOPPED: "its dispatcher concludes what to make of its end",
}


class _Words(TypedDict):
    """How the last attempt that ended did."""

    kind: str
    """The kind of end; '' while there is none."""
    summary: str
    detail: str
    """What AWS or the flow said; '' where that is the summary."""
    resolution: str
    exit_code: int | None
    stop_code: str
    task_arn: str
    log_lines: Sequence[str]
    """The last lines of the container's log, of a run that failed."""


class _Whose(TypedDict):
    """Which run it is, and how far it has come."""

    run_id: str
    org_id: str
    flow_name: str
    """The flow; of a container its label."""
    flow_version: str
    """The version that runs: what 'latest' meant at the first launch. Not settled before that ('' or 'latest')."""
    correlation_id: str
    batch_id: str
    shard: int | None
    created_at: str | None
    started_at: str | None
    """Times are ISO 8601 in UTC."""
    attempt: int
    """Which attempt it is at; they count from 1."""
    retries: int


class Explanation(_Whose, _Words):
    """What became of a run, ready for JSON."""

    image: str
    """The image of a container; '' for a flow, and for a run that left the ledger."""
    ended_at: str | None
    status: str
    """QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED."""
    phase: str
    retries_of: Mapping[str, int]
    """How many retries each budget has paid for, by the field of the request."""
    limits: Mapping[str, int]
    """How many each of these budgets allows, where that is known."""
    cpu: int | None
    memory: int | None
    """CPU units and MiB of the attempt, where they are known."""
    task_arns: Mapping[str, str]
    """The ECS task of every attempt that has or had one, by the attempt's number."""
    log: str
    """Log group and stream in CloudWatch, where request and settings tell; '' for a run that left the ledger."""
    next: str
    """What happens next, in words."""
    retry_in: float | None
    """Seconds until the next attempt may be launched."""


def find_explanation(publisher: Publisher, run_id: str) -> Explanation | None:
    """Return what the ledger says of a run, else its record; None if neither knows it."""
    for found in HistoryLedger(publisher.redis).snapshots([run_id]):
        entry = as_it_ends(found.entry, publisher.app.AsyncResult(run_id))
        request = _with_policy(_readable(found.request), entry)
        return explanation_of_entry(entry, publisher.runs.due_in(run_id), request, publisher.settings.ecs)
    return explanation_of_record(find_record(run_id))


def explanation_of_entry(
    entry: RunEntry,
    due_in: float | None,
    request: LaunchRequest | ContainerRequest | None = None,
    ecs: EcsSettings | None = None,
) -> Explanation:
    """Return what the ledger says of a run whose delay, if it has one, is over in ``due_in`` seconds."""
    outcome, status = (entry.completion or {}).get("outcome") or entry.ended_before or {}, entry.status
    waits = None if status.is_final else due_in
    words = _words(outcome, entry.task_arn, status)
    cpu, memory = _size(entry, outcome, request)
    return Explanation(
        **_whose(entry),
        **words,
        image=request.image if isinstance(request, ContainerRequest) else "",
        ended_at=as_text(entry.ended_at),
        status=status.value,
        phase=entry.phase.value,
        retries_of=entry.counts,
        limits={name: getattr(request, name) for name in entry.counts} if request else {},
        cpu=cpu,
        memory=memory,
        task_arns=entry.task_arns,
        log=log_of(request, ecs, words["task_arn"]) if request and ecs else "",
        next=_over(outcome) if status.is_final else _next(entry, waits),
        retry_in=None if waits is None else round(waits, 1),
    )


def explanation_of_record(record: RunRecord | None) -> Explanation | None:
    """Return what a record says of a run."""
    if record is None:
        return None
    status, outcome = RunStatus(record.status), record.outcome or {}
    return Explanation(
        **_whose(record),
        **_words(outcome, record.task_arn, status),
        image="",
        ended_at=as_text(record.completed_at),
        status=record.status,
        phase=record.phase,
        retries_of=record.retries_of,
        limits=record.limits,
        cpu=_integer(outcome.get("cpu")),
        memory=_integer(outcome.get("memory")),
        task_arns=outcome.get("task_arns") or ({str(record.attempt): record.task_arn} if record.task_arn else {}),
        log=record.log,
        next=_over(outcome) if status.is_final else "not known: the ledger has no such run any more",
        retry_in=None,
    )


def _whose(run: RunEntry | RunRecord) -> _Whose:
    return _Whose(
        run_id=run.run_id,
        org_id=run.org_id,
        flow_name=run.flow_name,
        flow_version=run.flow_version,
        correlation_id=run.correlation_id,
        batch_id=run.batch_id,
        shard=run.shard,
        created_at=as_text(run.created_at),
        started_at=as_text(run.started_at),
        attempt=run.attempt,
        retries=run.retries,
    )


def _with_policy(
    request: LaunchRequest | ContainerRequest | None, entry: RunEntry
) -> LaunchRequest | ContainerRequest | None:
    """Return a request over its deployment's retry policy, where its limits are to be told."""
    from dagy_queue.records.deployments import find_deployment

    if request is None or not (request.deployment_name and entry.counts):
        return request
    try:
        found = find_deployment(request.org_id, request.deployment_name, request.environment)
        return over_policy(request, found.defaults) if found else request
    except (AwsError, RequestInvalid):
        return request


def _readable(request: Mapping[str, Any]) -> LaunchRequest | ContainerRequest | None:
    """Return what was asked for; None before the run is parked, or if another version of dagy_queue asked for it."""
    try:
        return read_request(request) if request else None
    except RequestInvalid:
        return None


def _size(
    entry: RunEntry, outcome: Mapping[str, Any], request: LaunchRequest | ContainerRequest | None
) -> tuple[int | None, int | None]:
    """Return CPU units and MiB of the attempt: what was changed for it, else as ECS told, else as asked for."""
    asked = (request.size if request else None) or (None, None)
    for found in (entry.change, outcome, {"cpu": asked[0], "memory": asked[1]}):
        if found.get("memory"):
            return _integer(found.get("cpu")), _integer(found["memory"])
    return None, None


def _integer(number: Any) -> int | None:
    """Return a number as DynamoDB has it, too."""
    return None if number is None else int(number)


def _over(outcome: Mapping[str, Any]) -> str:
    why = str(outcome.get("no_retry") or "")
    return f"{_OVER}; {why}" if why else _OVER


def _words(outcome: Mapping[str, Any], task_arn: str, status: RunStatus) -> _Words:
    """Return what an outcome says; of a run that goes on, its own task counts."""
    summary, detail = str(outcome.get("summary") or ""), str(outcome.get("detail") or "")
    advice = str(outcome.get("resolution") or "")
    if status is RunStatus.CANCELLED:
        summary, advice = summary or "cancelled", advice or _IF_CANCELLED
    return _Words(
        kind=str(outcome.get("kind") or ""),
        summary=summary,
        detail="" if detail and detail in summary else detail,
        resolution=advice,
        exit_code=outcome.get("exit_code"),
        stop_code=str(outcome.get("stop_code") or ""),
        task_arn=task_arn or str(outcome.get("task_arn") or ""),
        log_lines=list(outcome.get("log_lines") or ()),
    )


def _next(entry: RunEntry, due_in: float | None) -> str:
    if entry.phase is Phase.RETRYING:
        changes = "".join(f", {words}" for words in _changes(entry.change))
        return f"attempt {entry.attempt} in {_seconds(due_in)}, as attempt {entry.attempt - 1} has ended{changes}"
    if entry.phase is Phase.HELD and due_in is not None:
        return f"its launch is tried again in {_seconds(due_in)}: {entry.refusal}"
    return _NEXT.get(entry.phase, "")


def _changes(change: Mapping[str, Any]) -> list[str]:
    memory = [f"with {change['memory']} MiB of memory"] if change.get("memory") else []
    return memory + (["on demand instead of on Spot"] if change.get("on_demand") else [])


def _seconds(number: float | None) -> str:
    return f"{number or 0:.0f} s"
