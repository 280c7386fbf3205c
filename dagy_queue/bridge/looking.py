"""Looks at tasks that have been silent: what ECS says of them goes to the ledger as if an event had told it.

The reconciler calls it. Only silent tasks are described, a hundred at a time: a run whose events arrive costs no call.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import structlog

from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.errors import mapped
from dagy_queue.bridge.events import observation_of
from dagy_queue.bridge.parts import in_parts
from dagy_queue.errors import AwsError, AwsRefused
from dagy_queue.launching.calls import place_of_task
from dagy_queue.ledger import Phase, RunLedger
from dagy_queue.ledger.runs import Observation
from dagy_queue.ledger.sweeps import QuietTask, SweepLedger
from dagy_queue.outcomes.lost import lost

log = structlog.get_logger(__name__)

AT_ONCE = 100
"""Tasks in one call of DescribeTasks (ECS API reference)."""
_NOT_STARTED = frozenset({Phase.SUBMITTED, Phase.PROVISIONING, Phase.PENDING})


class Looker:
    """Brings the ledger up to date about silent tasks."""

    def __init__(
        self, aws: AwsClients, runs: RunLedger, sweeps: SweepLedger, *, container_name: str, missing_grace: float
    ) -> None:
        self._aws = aws
        self._runs = runs
        self._sweeps = sweeps
        self._container_name = container_name
        self._missing_grace = missing_grace

    def look(self, tasks: Sequence[QuietTask], start_timeout: float) -> None:
        """Describe tasks, and tell the ledger. Raises an AwsError, RedisUnavailable."""
        for task in tasks:
            if is_late(task, start_timeout) and self._sweeps.late_start(task.attempt_id):
                log.warning("start_too_late", run_id=task.attempt_id.run_id, task_arn=task.task_arn)
        refused: AwsError | None = None
        for (region, cluster), there in _by_cluster(tasks).items():
            try:
                for part in in_parts(there, AT_ONCE):
                    self._look_at(region, cluster, part)
            except AwsError as exc:  # the other places may answer
                refused = exc
        if refused:
            raise refused

    def _look_at(self, region: str, cluster: str, tasks: Sequence[QuietTask]) -> None:
        found, missing = describe(self._aws, region, cluster, [task.task_arn for task in tasks])
        observed = list(observations(found, self._container_name))
        observed += [_lost(task) for task in tasks if task.task_arn in missing and is_lost(task, self._missing_grace)]
        for observation, answer in zip(observed, self._runs.apply(observed), strict=True):
            run_id = observation.attempt_id.run_id
            log.info("looked_at", run_id=run_id, phase=observation.phase, applied=answer.value)


def describe(
    aws: AwsClients, region: str, cluster: str, task_arns: Sequence[str]
) -> tuple[list[Mapping[str, Any]], set[str]]:
    """Return what ECS says of up to a hundred tasks, and the ARNs of those that it cannot find. Raises an AwsError."""
    try:
        with mapped("ecs:DescribeTasks"):
            answer = aws.in_region(region).ecs_control.describe_tasks(cluster=cluster, tasks=list(task_arns))
    except AwsRefused as exc:
        if exc.code != "ClusterNotFoundException":
            raise
        return [], set(task_arns)
    missing = {failure.get("arn", "") for failure in answer["failures"] if failure.get("reason") == "MISSING"}
    return list(answer["tasks"]), missing


def observations(tasks: Sequence[Mapping[str, Any]], container_name: str) -> Iterator[Observation]:
    """Yield what descriptions tell of our attempts; what cannot be read is logged."""
    for task in tasks:
        try:
            yield observation_of(task, container_name)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            log.warning("task_unreadable", task_arn=task.get("taskArn"), error=str(exc))


def is_lost(task: QuietTask, grace: float) -> bool:
    """Tell whether a task that ECS cannot find is gone: a new one may take minutes to be found (ECS is eventually
    consistent).
    """
    return task.silence >= grace


def is_late(task: QuietTask, start_timeout: float) -> bool:
    """Tell whether a task has been about to start for too long."""
    return task.phase in _NOT_STARTED and task.silence >= start_timeout


def _lost(task: QuietTask) -> Observation:
    log.warning("task_lost", run_id=task.attempt_id.run_id, task_arn=task.task_arn)
    completion = {"outcome": lost(task.task_arn).to_dict()}
    return Observation(attempt_id=task.attempt_id, version=0, task_arn=task.task_arn, completion=completion)


def _by_cluster(tasks: Sequence[QuietTask]) -> Mapping[tuple[str, str], list[QuietTask]]:
    places: defaultdict[tuple[str, str], list[QuietTask]] = defaultdict(list)
    for task in tasks:
        places[place_of_task(task.task_arn)].append(task)
    return places
