"""Launches one granted attempt: resolves what it needs, calls RunTask once, and tells the ledger what came of it.

The pump's threads call :meth:`Launcher.launch`. It never raises: whatever happens ends in the ledger, as a task ARN, a
run that is held again, or a run that failed with a diagnosis.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog
from botocore.exceptions import ClientError

from dagy.contract import RunSpec
from dagy_queue.aws.errors import mapped
from dagy_queue.dispatch.endings import cancelled, crashed, expired, gave_up, refused
from dagy_queue.dispatch.refusals import Refusal, backoff, refusal_of
from dagy_queue.dispatch.services import Services
from dagy_queue.errors import AwsCapacity, AwsError, AwsRefused, AwsUnavailable, DagyQueueError, RedisUnavailable
from dagy_queue.ids import AttemptId
from dagy_queue.launching.flows import FlowResolver
from dagy_queue.launching.run_task import Launch, overrides, overrides_too_large, run_task_parameters
from dagy_queue.launching.storage import ObjectStore, report_uri, spec_uri, traces_uri
from dagy_queue.launching.task_definitions import TaskDefinitions, worker_definition
from dagy_queue.ledger import Grant, Released
from dagy_queue.ledger.admission import Noted
from dagy_queue.outcomes import Outcome
from dagy_queue.requests import ContainerRequest, LaunchRequest

if TYPE_CHECKING:
    from mypy_boto3_ecs.type_defs import RunTaskResponseTypeDef

log = structlog.get_logger(__name__)

_STOP_TRIES = 4
_STOP_DELAY = 0.2
_CAPACITY_REASONS = ("RESOURCE:", "AGENT", "capacity is unavailable", "limit on the number of")


class Launcher:
    """Turns grants into ECS tasks."""

    def __init__(self, services: Services) -> None:
        self._services = services
        settings = services.settings
        self._flows = FlowResolver(settings.records.latest_ttl)
        self._definitions = TaskDefinitions(services.aws.ecs_control, services.redis, settings.ecs.family)
        self._objects = ObjectStore(services.aws.s3)

    def launch(self, grant: Grant) -> None:
        """Launch an attempt."""
        try:
            self._launch(grant)
        except RedisUnavailable as exc:
            # The lease runs out and the attempt is granted again, under the same client token.
            log.warning("launch_not_recorded", run_id=grant.attempt_id.run_id, error=str(exc))
        except Exception as exc:
            log.exception("launch_crashed", run_id=grant.attempt_id.run_id)
            self._end(grant.attempt_id, crashed(exc))

    def stop(self, task_arn: str, reason: str) -> None:
        """Ask ECS to stop a task. Raises an AwsError."""
        with mapped("ecs:StopTask"):
            self._services.aws.ecs.stop_task(
                cluster=self._services.settings.ecs.cluster, task=task_arn, reason=reason[:255]
            )

    def _launch(self, grant: Grant) -> None:
        if grant.expired:
            self._end(grant.attempt_id, expired())
            return
        try:
            launch = self._prepare(grant)
            task_arn = self._run_task(launch)
        except DagyQueueError as exc:
            if isinstance(exc, RedisUnavailable):
                raise
            self._refused(grant, exc)
            return
        noted = self._services.admission.launched(grant.attempt_id, task_arn)
        log.info("launched", run_id=grant.attempt_id.run_id, attempt=grant.attempt_id.attempt, task_arn=task_arn)
        if noted is not Noted.NOTED:
            self._stop_unwanted(grant.attempt_id, task_arn, noted.value)

    def _stop_unwanted(self, attempt_id: AttemptId, task_arn: str, why: str) -> None:
        """Stop a task whose run was cancelled during submission, or is over. ECS says when it has ended."""
        for tries in range(_STOP_TRIES):
            try:
                self.stop(task_arn, f"dagy: {why}")
            except AwsError as exc:
                log.warning("task_not_stopped", run_id=attempt_id.run_id, task_arn=task_arn, error=str(exc))
                time.sleep(backoff(_STOP_DELAY, tries))
            else:
                return

    def _prepare(self, grant: Grant) -> Launch:
        settings = self._services.settings
        request = self._services.requests.read(grant.request, grant.batch_id, grant.shard)
        attempt_id = grant.attempt_id
        launch = Launch(
            attempt_id=attempt_id,
            request=request,
            correlation_id=request.correlation_id,
            batch_id=grant.batch_id,
            shard=grant.shard,
            task_definition=self._definition(request),
            report_uri=report_uri(settings.storage, request.org_id, attempt_id),
            spec=self._spec(grant, request) if isinstance(request, LaunchRequest) else None,
        )
        return self._fitting(launch)

    def _definition(self, request: LaunchRequest | ContainerRequest) -> str:
        if isinstance(request, ContainerRequest) and request.task_definition:
            return request.task_definition
        settings = self._services.settings
        image = request.image if isinstance(request, ContainerRequest) else settings.ecs.worker_image
        return self._definitions.arn(worker_definition(settings.ecs, image, settings.aws.region))

    def _spec(self, grant: Grant, request: LaunchRequest) -> RunSpec:
        storage, attempt_id = self._services.settings.storage, grant.attempt_id
        flow = self._flows.resolve(request.org_id, request.flow_name, request.flow_version)
        return RunSpec(
            run_id=attempt_id.run_id,
            attempt=attempt_id.attempt,
            org_id=request.org_id,
            flow_name=flow.name,
            flow_version=flow.version,
            artifact_uri=flow.artifact_uri,
            artifact_sha256=flow.artifact_sha256,
            correlation_id=request.correlation_id,
            parameters=request.parameters,
            environment=request.environment,
            result_uri=report_uri(storage, request.org_id, attempt_id),
            traces_uri=traces_uri(storage, request.org_id, attempt_id.run_id),
            batch_id=grant.batch_id,
            shard=grant.shard,
        )

    def _fitting(self, launch: Launch) -> Launch:
        """Return the launch with its spec in S3 where it is too large for RunTask's overrides."""
        if launch.spec is None or not overrides_too_large(overrides(launch, self._services.settings.ecs)):
            return launch
        uri = spec_uri(self._services.settings.storage, launch.request.org_id, launch.attempt_id)
        if not uri:
            raise AwsRefused(
                "the run's parameters are too large for RunTask; set DAGY_ARTIFACT_BUCKET to send them by S3"
            )
        self._objects.put(uri, launch.spec.to_json())
        return replace(launch, spec_uri=uri)

    def _run_task(self, launch: Launch) -> str:
        try:
            answer = self._call_run_task(launch)
        except AwsRefused as exc:
            if not _definition_is_gone(exc):
                return _adopted(exc)
            self._definitions.forget(launch.task_definition)
            answer = self._call_run_task(replace(launch, task_definition=self._definition(launch.request)))
        if answer["tasks"]:
            return answer["tasks"][0]["taskArn"]
        raise _placement_error(answer.get("failures", []))

    def _call_run_task(self, launch: Launch) -> RunTaskResponseTypeDef:
        parameters = run_task_parameters(launch, self._services.settings.ecs)
        with mapped("ecs:RunTask"):
            return self._services.aws.ecs.run_task(**parameters)

    def _refused(self, grant: Grant, error: DagyQueueError) -> None:
        refusal = refusal_of(error)
        if refusal is Refusal.FINAL:
            self._end(grant.attempt_id, refused(error))
            return
        dispatch = self._services.settings.dispatch
        released = self._services.admission.release(
            grant.attempt_id,
            delay=backoff(dispatch.throttle_delay, grant.refusals),
            new_attempt=refusal is Refusal.NEW_ATTEMPT,
            give_up_after=dispatch.start_timeout,
            reason=str(error),
        )
        log.warning("launch_refused", run_id=grant.attempt_id.run_id, released=released.value, error=str(error))
        if released is Released.EXPIRED:
            self._end(grant.attempt_id, gave_up(error, dispatch.start_timeout))
        elif released is Released.CANCELLED:
            self._end(grant.attempt_id, cancelled())

    def _end(self, attempt_id: AttemptId, outcome: Outcome) -> None:
        try:
            self._services.runs.complete(attempt_id, {"outcome": outcome.to_dict()})
        except RedisUnavailable as exc:
            log.warning("outcome_not_recorded", run_id=attempt_id.run_id, error=str(exc))


def _definition_is_gone(error: AwsRefused) -> bool:
    """Tell whether ECS refused a task definition that somebody deregistered."""
    said = str(error).lower()
    return "taskdefinition is inactive" in said or "unable to describe task definition" in said


def _adopted(error: AwsRefused) -> str:
    """Return the task that a ConflictException names: this attempt's, launched before with other parameters."""
    cause = error.__cause__
    if error.code == "ConflictException" and isinstance(cause, ClientError):
        response: Mapping[str, Any] = cause.response
        if arns := response.get("resourceIds"):
            return str(arns[0])
    raise error


def _placement_error(failures: list[Any]) -> AwsError:
    said = "; ".join(f"{f.get('reason', '')} {f.get('detail', '')}".strip() for f in failures)
    if not said:
        return AwsUnavailable("ecs:RunTask: the answer had neither a task nor a failure", operation="ecs:RunTask")
    if any(sign.lower() in said.lower() for sign in _CAPACITY_REASONS):
        return AwsCapacity(f"ecs:RunTask: {said}; it will be repeated later", operation="ecs:RunTask")
    return AwsRefused(f"ecs:RunTask: {said}", operation="ecs:RunTask")
