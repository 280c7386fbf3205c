"""Where the logs of runs are: by request and settings, else as ECS describes the task or its definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.errors import mapped
from dagy_queue.errors import AwsError, Problem, RequestInvalid
from dagy_queue.ids import shard_id
from dagy_queue.launching.definitions import existing_definition
from dagy_queue.launching.logs import LogPlace, place_in, place_of, region_of
from dagy_queue.ledger.history import HistoryLedger, Snapshot
from dagy_queue.operate.finding import Desk
from dagy_queue.requests import ContainerRequest, LaunchRequest, read_request

_AT_ONCE = 200

Request = LaunchRequest | ContainerRequest


@dataclass(frozen=True, slots=True)
class LogSource:
    """The log of one attempt of a run."""

    run_id: str
    shard: int | None
    attempt: int
    place: LogPlace
    region: str
    is_over: bool = False
    """Whether the run had ended when it was looked for."""


class Places:
    """Finds logs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ecs = desk.settings.ecs
        self._aws = AwsClients(desk.settings.aws, max_connections=4)
        self._definition = cache(self._describe_definition)

    def of_run(self, run_id: str, attempt: int | None = None) -> LogSource | None:
        """Return the log of a run's last attempt that had a task, or of the one asked for; None if there is none.

        Raises RequestInvalid for an attempt that the run did not have, RedisUnavailable, AwsError.
        """
        for found in self._snapshots([run_id]):
            return self._of_snapshot(found, attempt)
        known = self._desk.explanation(run_id)
        task_arns, number = known["task_arns"], _chosen(known["task_arns"], attempt, known["attempt"])
        return self._usual(run_id, known["shard"], int(number), task_arns[number]) if number else None

    def of_batch(self, batch_id: str, total: int) -> Iterator[LogSource]:
        """Yield the logs of a batch's shards that have or had a task, in order."""
        for first in range(0, total, _AT_ONCE):
            ids = [shard_id(batch_id, shard) for shard in range(first, min(total, first + _AT_ONCE))]
            for found in self._snapshots(ids):
                if source := self._of_snapshot(found, None):
                    yield source

    def client(self, region: str) -> Any:
        """Return the client for a region's logs."""
        return self._aws.in_region(region or self._desk.settings.aws.region).logs

    def _snapshots(self, run_ids: list[str]) -> list[Snapshot]:
        return [] if self._desk.is_direct else HistoryLedger(self._desk.publisher.redis).snapshots(run_ids)

    def _of_snapshot(self, found: Snapshot, attempt: int | None) -> LogSource | None:
        entry, task_arns = found.entry, _tasks(found)
        number = _chosen(task_arns, attempt, entry.attempt)
        place = self._place(_request(found), task_arns[number]) if number else None
        if place is None:
            return None
        region = place.region or region_of(task_arns[number])
        return LogSource(entry.run_id, entry.shard, int(number), place, region, entry.status.is_final)

    def _usual(self, run_id: str, shard: int | None, attempt: int, task_arn: str) -> LogSource:
        """Return where a log is if the settings say so: of a run whose request is not kept any more."""
        stream = f"{self._ecs.log_stream_prefix}/{self._ecs.container_name}/{task_arn.rpartition('/')[2]}"
        return LogSource(run_id, shard, attempt, LogPlace(self._ecs.log_group, stream), region_of(task_arn))

    def _place(self, request: Request | None, task_arn: str) -> LogPlace | None:
        if request is None:
            return self._usual("", None, 1, task_arn).place
        return place_of(request, self._ecs, task_arn) or self._described(request, task_arn)

    def _described(self, request: Request, task_arn: str) -> LogPlace | None:
        name = self._definition_of_task(task_arn) or existing_definition(request, self._ecs)
        definition = self._definition(region_of(task_arn), name) if name else None
        return place_in(definition, request, self._ecs, task_arn) if definition else None

    def _definition_of_task(self, task_arn: str) -> str:
        """Return the task definition that a task was launched from; '' once ECS has forgotten the task."""
        cluster = task_arn.split("/")[-2]
        ecs = self._aws.in_region(region_of(task_arn)).ecs_control
        with mapped("ecs:DescribeTasks"):
            tasks = ecs.describe_tasks(cluster=cluster, tasks=[task_arn])["tasks"]
        return tasks[0]["taskDefinitionArn"] if tasks else ""

    def _describe_definition(self, region: str, name: str) -> Mapping[str, Any] | None:
        ecs = self._aws.in_region(region).ecs_control
        try:
            with mapped("ecs:DescribeTaskDefinition"):
                return dict(ecs.describe_task_definition(taskDefinition=name)["taskDefinition"])
        except AwsError:
            return None


def _chosen(task_arns: Mapping[str, str], attempt: int | None, attempts: int) -> str:
    """Return which attempt's log is meant: the one asked for, else the last one with a task; '' if that had none.

    Raises RequestInvalid for an attempt that there was not.
    """
    if attempt is not None and attempt > attempts:
        raise RequestInvalid([Problem("attempt", attempt, f"1 to {attempts}, as many as the run has had")], "command")
    number = max(task_arns, key=int, default="") if attempt is None else str(attempt)
    return number if number in task_arns else ""


def _tasks(found: Snapshot) -> dict[str, str]:
    """Return the tasks of a run's attempts. A shard that shared a container knows it from its outcome."""
    outcome = (found.entry.completion or {}).get("outcome") or {}
    shared = {str(found.entry.attempt): str(outcome["task_arn"])} if outcome.get("task_arn") else {}
    return {**shared, **found.entry.task_arns}


def _request(found: Snapshot) -> Request | None:
    try:
        return read_request(found.request) if found.request else None
    except RequestInvalid:
        return None
