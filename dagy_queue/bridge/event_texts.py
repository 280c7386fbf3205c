"""The texts of task events: what a run is in one line and in detail, and how it failed; pure.

``bridge/run_events.py`` uses them. Only what is listed here is told: no parameters, variables or secrets of a request.
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from dagy_queue.launching.logs import log_of
from dagy_queue.ledger.watching import WatchedBatch, WatchedRun
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.requests.sizes import units_of
from dagy_queue.requests.workloads import WORKLOADS
from dagy_queue.settings import EcsSettings

_MOST = 500
_MOST_FAILURE = 6000
_PLACES_REMEMBERED = 1000
_UNITS_PER_VCPU, _MIB_PER_GB = 1024, 1024
_LABELS = {
    "resolution": "what to do",
    "no_retry": "not tried again",
    "exit_code": "exit code",
    "stop_code": "stop code",
    "task_arn": "task",
}
_DECIDE_LOG = (
    *("kind", "image", "container_name", "log_group", "task_definition", "task_definition_template"),
    "run_task_kwargs",
    "worker_image",
)
"""The fields of a request that decide where its log is."""
_TOLD_ELSEWHERE = frozenset({"kind", "summary", "cpu", "memory", "transient"})


class LogPlaces:
    """Where the logs of runs are; worked out once for all runs that are alike in what decides it."""

    def __init__(self, ecs: EcsSettings) -> None:
        self._ecs = ecs
        self._of = lru_cache(maxsize=_PLACES_REMEMBERED)(self._work_out)

    def of(self, request: Mapping[str, Any], task_arn: str) -> str:
        """Return log group and stream of a task; '' where they are not known."""
        place = self._of(*(repr(request.get(name)) for name in _DECIDE_LOG)) if request else ""
        return f"{place}{task_arn.rpartition('/')[2]}" if place else ""

    def _work_out(self, *texts: str) -> str:
        known = {name: literal_eval(text) for name, text in zip(_DECIDE_LOG, texts, strict=True) if text != "None"}
        model = ContainerRequest if known.get("kind") == "container" else LaunchRequest
        return log_of(model.model_construct(**known), self._ecs, "/")  # it was checked when it was parked


class Surroundings:
    """What is the same for all runs: the settings of ECS, the region, and where logs are."""

    def __init__(self, ecs: EcsSettings, region: str) -> None:
        self.ecs = ecs
        self.region = region
        self.logs = LogPlaces(ecs)

    def hostname(self, pool: str = "") -> str:
        """Return the worker's name that a pool has in monitors: its cluster, else that of the settings."""
        region, _, cluster = (pool.partition("|")[0] or f"{self.region}/{self.ecs.cluster}").partition("/")
        return f"ecs@{cluster.rpartition('/')[2]}.{region}"


def run_args(run: WatchedRun, around: Surroundings) -> str:
    """Return what a run is, in one line."""
    entry = run.entry
    own = _callers(entry.correlation_id, entry.batch_id or entry.run_id)
    if entry.shard is not None:
        own = f"{own or f'shard {entry.shard}'} of {run.shards}"
    return ", ".join(filter(None, (entry.org_id, own, size_text(run, around.ecs))))


def run_kwargs(run: WatchedRun, around: Surroundings) -> dict[str, Any]:
    """Return what a run is, in detail; Flower finds runs by each of them (``kwargs:org=acme``)."""
    entry = run.entry
    place, _, capacity = run.pool.partition("|")
    arn = _task_arn(run)
    values = {
        "flow": entry.flow_name,
        "org": entry.org_id,
        "correlation_id": entry.correlation_id or entry.run_id,
        "batch": entry.batch_id,
        "shard": entry.shard,
        "shards": run.shards or None,
        "size": size_text(run, around.ecs),
        "attempt": entry.attempt,
        "retries": ", ".join(f"{count} {budget}" for budget, count in sorted(entry.counts.items())),
        "cluster": place,
        "capacity": capacity,
        "task": arn,
        "log": around.logs.of(run.request, arn) if arn else "",
    }
    return _told(values)


def batch_args(batch: WatchedBatch) -> str:
    """Return what a batch is, in one line."""
    shards = f"{batch.total} shards" if batch.total != 1 else "1 shard"
    return ", ".join(filter(None, (batch.org_id, _callers(batch.correlation_id, batch.batch_id), shards)))


def batch_kwargs(batch: WatchedBatch) -> dict[str, Any]:
    """Return what a batch is, in detail."""
    values = {
        "flow": batch.flow_name,
        "org": batch.org_id,
        "correlation_id": batch.correlation_id,
        "batch": batch.batch_id,
        "shards": batch.total,
        "by_phase": ", ".join(f"{count} {phase.value}" for phase, count in sorted(batch.counts.items())),
        "tolerated_failures": batch.tolerated or None,
        "callback": batch.callback_id if batch.has_callback else "",
        "cluster": batch.pool.partition("|")[0],
        "cancelled": batch.cancel_reason,
    }
    return _told(values)


def failure_text(outcome: Mapping[str, Any]) -> str:
    """Return how an attempt ended and what to do about it, as lines; what is long comes last."""
    lines = [str(outcome.get("summary") or outcome.get("kind") or "failed")]
    others = [name for name in outcome if name not in _LABELS and name not in _TOLD_ELSEWHERE]
    for name in [*_LABELS, *others]:
        value = outcome.get(name)
        if value in ("", None, []) or isinstance(value, Mapping):
            continue
        text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
        apart = "\n" if "\n" in text else " "
        lines.append(f"{_LABELS.get(name, name.replace('_', ' '))}:{apart}{text}")
    return _cut("\n".join(lines), _MOST_FAILURE)


def size_text(run: WatchedRun, ecs: EcsSettings) -> str:
    """Return the size of a run's attempt: what was changed for it, else as ECS told, else as asked for."""
    outcome = (run.entry.completion or {}).get("outcome") or {}
    workload = WORKLOADS.get(str(run.request.get("workload_profile") or ""))
    usual = {"cpu": workload.cpu, "memory": workload.memory} if workload else {"cpu": ecs.cpu, "memory": ecs.memory}
    sizes = (run.entry.change, outcome, run.request, usual if run.request else {})
    cpu, memory = (next((found[name] for found in sizes if found.get(name)), None) for name in ("cpu", "memory"))
    units, mib = _number_of(cpu), _number_of(memory)
    if not (units and mib):
        return ""
    return f"{units / _UNITS_PER_VCPU:g} vCPU {mib / _MIB_PER_GB:g} GB"


def _number_of(size: Any) -> float | None:
    """Return CPU units or MiB; a shard has what its caller wrote, which may be "2 vCPU" or "4 GB"."""
    return units_of(size) if isinstance(size, str) else size


def _callers(correlation_id: str, own_id: str) -> str:
    """Return a correlation id that a caller gave; '' for one that only repeats the id of the run or batch."""
    return "" if correlation_id.startswith(own_id) else correlation_id


def _task_arn(run: WatchedRun) -> str:
    outcome = (run.entry.completion or {}).get("outcome") or {}
    return run.entry.task_arn or str(outcome.get("task_arn") or "")


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is to tell, each text cut to a size that a monitor can keep thousands of."""
    known = {name: value for name, value in values.items() if value not in ("", None)}
    return {name: _cut(value, _MOST) if isinstance(value, str) else value for name, value in known.items()}


def _cut(text: str, most: int) -> str:
    return f"{text[: most - 1]}…" if len(text) > most else text
