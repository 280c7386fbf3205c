"""Launching without a queue: RunTask is called by the caller's own process, for Lambda functions without a Redis.

``DagLauncher`` calls it in direct mode. Requests are checked and tasks are made as dispatchers do it, under the same
client token; what a queue gives (a result, retries, limits over all processes) there is not. The run's record says what
became of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import structlog

from dagy.contract import ContractError, RunReport
from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.errors import mapped
from dagy_queue.errors import AwsUnavailable, DagyQueueError, Problem, RequestInvalid
from dagy_queue.ids import AttemptId
from dagy_queue.launching.attempts import launch_attempt
from dagy_queue.launching.calls import place_of_task
from dagy_queue.launching.definition_cache import NoCache
from dagy_queue.launching.direct_records import (
    record_of,
    updated_from_report,
    updated_from_task,
    with_words_of,
    without_report,
)
from dagy_queue.launching.planner import Planner
from dagy_queue.launching.refusals import Refusal, backoff, refusal_of
from dagy_queue.launching.storage import ObjectStore, report_uri
from dagy_queue.records.flows import RegisteredFlow
from dagy_queue.records.models import bind_models
from dagy_queue.records.runs import RunRecord, add_run, find_run, find_run_of_any_org, replace_run
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.settings import Settings

log = structlog.get_logger(__name__)

_FIRST_DELAY = 0.5
_MOST_LOOKS = 5
"""A worker writes its run's record as well: what it tells in between is looked at anew."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A task that ECS took."""

    attempt_id: AttemptId
    task_arn: str


class DirectLauncher:
    """Calls RunTask itself."""

    def __init__(self, settings: Settings, sleep: Callable[[float], None] = time.sleep) -> None:
        self._settings = settings
        self._aws = AwsClients(settings.aws)
        self._planner = Planner(settings, self._aws, NoCache(), is_direct=True)
        bind_models(settings)
        self._sleep = sleep

    def launch(self, run_id: str, request: LaunchRequest | ContainerRequest, *, own_id: bool = False) -> Launched:
        """Launch a run now. Throttles and a lack of capacity are waited out for ``launch.submit_timeout`` seconds.

        With ``own_id``, the caller's own ``run_id`` launches once. Raises RequestInvalid, FlowNotFound and its like, or
        an AwsError.
        """
        if own_id and (known := self._launched_before(run_id, request.org_id)):
            return known
        asked_at = datetime.now(UTC)
        deadline = time.monotonic() + self._settings.launch.submit_timeout
        attempt_id, refusals = AttemptId(run_id, 1), 0
        flow: RegisteredFlow | None = None
        while True:
            try:
                flow = flow or self._flow(request)
                launched = Launched(attempt_id, self._run_task(attempt_id, request, flow))
            except DagyQueueError as exc:
                refusal = refusal_of(exc)
                delay = backoff(_FIRST_DELAY, refusals)
                if refusal is Refusal.FINAL or time.monotonic() + delay > deadline:
                    if isinstance(exc, AwsUnavailable):
                        raise _fate_unknown(exc, run_id) from exc
                    raise
                log.warning("launch_refused", run_id=run_id, error=str(exc), again_in=delay)
                self._sleep(delay)
                refusals += 1
                if refusal is Refusal.NEW_ATTEMPT:
                    attempt_id = AttemptId(run_id, attempt_id.attempt + 1)
            else:
                record = record_of(attempt_id, launched.task_arn, request, asked_at, self._settings.ecs, flow)
                self._record(record, add_run)
                return launched

    def _launched_before(self, run_id: str, org_id: str) -> Launched | None:
        """Return the task of a run that the caller's own id names already: ECS forgets its token some time."""
        record = find_run_of_any_org(run_id)
        if record is not None and record.org_id != org_id:
            raise RequestInvalid([Problem("run_id", run_id, "an id that no other run has")])
        if record is None or not record.task_arn:
            return None
        return Launched(AttemptId(run_id, record.attempt), record.task_arn)

    def find(self, run_id: str) -> RunRecord | None:
        """Return a run's record, brought up to date from ECS until it has an outcome. Raises an AwsError."""
        found: RunRecord | None = None
        for _ in range(_MOST_LOOKS):
            record = find_run(run_id)
            if record is None or not record.task_arn or record.outcome is not None:
                return record
            found = self._up_to_date(record)
            if found == record or self._record(found, partial(replace_run, record)):
                break
        return found

    def _up_to_date(self, record: RunRecord) -> RunRecord:
        found = self._seen_in_ecs(record)
        if found is None:
            report = self._report_of(record)
            return updated_from_report(record, report) if report else record
        if found.status == "FAILED":  # ECS knows the exit code only
            return with_words_of(self._report_of(record), found)
        if found.status == "SUCCEEDED" and self._should_have_reported(record) and self._report_of(record) is None:
            return without_report(found)
        return found

    def _seen_in_ecs(self, record: RunRecord) -> RunRecord | None:
        region, cluster = place_of_task(record.task_arn)
        with mapped("ecs:DescribeTasks"):
            answer = self._aws.in_region(region).ecs_control.describe_tasks(cluster=cluster, tasks=[record.task_arn])
        tasks = answer["tasks"]
        return updated_from_task(record, dict(tasks[0]), self._settings.ecs.container_name) if tasks else None

    def _report_of(self, record: RunRecord) -> RunReport | None:
        """Return what the worker wrote. It stays, where ECS forgets a task an hour after its end."""
        uri = report_uri(self._settings.storage, record.org_id, AttemptId(record.run_id, record.attempt))
        try:
            return ObjectStore(self._aws.s3).report(uri) if uri else None
        except ContractError as exc:
            log.warning("report_unreadable", run_id=record.run_id, error=str(exc))
            return None

    def _should_have_reported(self, record: RunRecord) -> bool:
        """Tell whether a run that succeeded must have left a report: of a flow, whose worker has told no end of it."""
        is_flow = bool(record.flow_version)  # containers have no version
        return is_flow and record.completed_at is None and bool(self._settings.storage.artifact_bucket)

    def _flow(self, request: LaunchRequest | ContainerRequest) -> RegisteredFlow | None:
        return self._planner.flow_of(request) if isinstance(request, LaunchRequest) else None

    def _run_task(
        self, attempt_id: AttemptId, request: LaunchRequest | ContainerRequest, flow: RegisteredFlow | None
    ) -> str:
        return launch_attempt(
            self._planner, self._aws, lambda: self._planner.plan(attempt_id, request, flow=flow)
        ).task_arn

    def _record(self, record: RunRecord, write: Callable[[RunRecord], bool | None]) -> bool:
        """Write a run's record; return False if it has gone on. The task is there, so a failure is told and no more."""
        try:
            return write(record) is not False
        except DagyQueueError as exc:
            log.warning("run_not_recorded", run_id=record.run_id, error=str(exc))
            return True


def _fate_unknown(error: AwsUnavailable, run_id: str) -> AwsUnavailable:
    """Return an error that says that the launch may have taken effect all the same."""
    text = f"{error}; whether its task was launched is not known: launch again with run_id={run_id!r} to find out"
    return AwsUnavailable(text, code=error.code, operation=error.operation)
