"""Looks for tasks that no run owns: launches whose answer never came, and whatever else of ours runs unknown.

The reconciler calls it. A task of a run that is over, or beyond that attempt, is stopped; one whose run the ledger does
not know at all is reported, and stopped only where that is asked for (another ledger may own it). A run that was
launched in direct mode is in no ledger; the record knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import structlog

from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.errors import mapped
from dagy_queue.bridge.looking import AT_ONCE, describe, observations
from dagy_queue.bridge.parts import in_parts
from dagy_queue.errors import AwsRefused
from dagy_queue.ids import STARTED_BY_PREFIX
from dagy_queue.ledger import RunLedger
from dagy_queue.ledger.runs import Applied
from dagy_queue.ledger.sweeps import SweepLedger

log = structlog.get_logger(__name__)


class OrphanSearch:
    """Finds tasks without a run."""

    def __init__(
        self,
        aws: AwsClients,
        runs: RunLedger,
        sweeps: SweepLedger,
        *,
        container_name: str,
        stop_orphans: bool,
        goes_on: Callable[[str], bool | None],
    ) -> None:
        """``goes_on`` tells whether a run that the ledger does not know goes on; None where nobody can tell."""
        self._aws = aws
        self._runs = runs
        self._sweeps = sweeps
        self._container_name = container_name
        self._stop_orphans = stop_orphans
        self._goes_on = goes_on

    def look_for_unanswered(self, first: float, second: float, most: int = AT_ONCE) -> int:
        """Have the tasks stopped of launches that were never answered; return how many launches there were.

        Raises an AwsError: those not looked for yet come up once more, minutes later.
        """
        launches = self._sweeps.unanswered(first, second, most)
        for launch in launches:
            region, cluster = split_cluster(launch.pool.partition("|")[0])
            query = {"cluster": cluster, "startedBy": launch.attempt_id.started_by, "desiredStatus": "RUNNING"}
            arns = list(self._running(query, region))
            self._sweeps.unwanted(arns)
            log.info("launch_without_answer", run_id=launch.attempt_id.run_id, tasks=arns)
        return len(launches)

    def sweep(self, clusters: Sequence[str]) -> list[str]:
        """Compare the running tasks of clusters with the ledger's; return the ARNs of those that no run owns."""
        known = self._sweeps.known_tasks()
        return [arn for each in clusters for arn in self._sweep_one(*split_cluster(each), known)]

    def _sweep_one(self, region: str, cluster: str, known: set[str]) -> Iterator[str]:
        running = self._running({"cluster": cluster, "desiredStatus": "RUNNING"}, region)
        for arns in in_parts((arn for arn in running if arn not in known), AT_ONCE):
            tasks, _ = describe(self._aws, region, cluster, arns)
            ours = [task for task in tasks if str(task.get("startedBy", "")).startswith(STARTED_BY_PREFIX)]
            observed = list(observations(ours, self._container_name))
            for observation, answer in zip(observed, self._runs.apply(observed), strict=True):
                goes_on = answer is not Applied.UNKNOWN or self._goes_on(observation.attempt_id.run_id)
                if not goes_on:
                    self._orphaned(observation.task_arn, is_certain=goes_on is False)
                    yield observation.task_arn

    def _orphaned(self, task_arn: str, *, is_certain: bool) -> None:
        """Report an orphan. Only one that surely is one is stopped: it may be a run of direct mode, and at work."""
        stopped = self._stop_orphans and is_certain
        log.warning("orphan_task", task_arn=task_arn, stopped=stopped, record="read" if is_certain else "refused")
        if stopped:
            self._sweeps.unwanted([task_arn])

    def _running(self, query: Mapping[str, Any], region: str) -> Iterator[str]:
        pages = self._aws.in_region(region).ecs_control.get_paginator("list_tasks").paginate(**query)
        try:
            with mapped("ecs:ListTasks"):
                for page in pages:
                    yield from page["taskArns"]
        except AwsRefused as exc:
            if exc.code != "ClusterNotFoundException":
                raise


def split_cluster(text: str) -> tuple[str, str]:
    """Return region and cluster of ``<region>/<cluster>``; a cluster may be an ARN, which has slashes of its own."""
    region, _, cluster = text.partition("/")
    return region, cluster
