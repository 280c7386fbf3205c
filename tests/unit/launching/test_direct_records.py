from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from dagy.contract import ErrorReport, ReportStatus, RunReport
from dagy_queue.ids import AttemptId
from dagy_queue.launching.direct_records import record_of, updated_from_report, updated_from_task, with_words_of
from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.records.flows import RegisteredFlow
from dagy_queue.records.runs import RunRecord
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.settings import EcsSettings
from tests.unit.kit import TASK_ARN

SECOND = AttemptId("run", 2)
STARTED = datetime(2026, 1, 1, 0, 0, 20, tzinfo=UTC)
STOPPED = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
FLOW = LaunchRequest(
    flow_name="etl",
    flow_version="3",
    org_id="acme",
    correlation_id="trace",
    environment="staging",
    trigger_source="cron",
    triggered_by="anna",
    metadata={"ticket": 7},
)
REGISTERED = RegisteredFlow(
    org_id="acme", name="etl", version="3", artifact_uri="s3://b/etl.zip", artifact_sha256="0" * 64
)
ERROR = ErrorReport(type="ValueError", message="no rows", task="load", traceback="Traceback ...\nValueError: no rows\n")
RECORD = record_of(SECOND, TASK_ARN, FLOW, STARTED, EcsSettings(), REGISTERED)


def task(**fields: Any) -> dict[str, Any]:
    return {"taskArn": TASK_ARN, "lastStatus": "RUNNING", "containers": [{"name": "worker"}], **fields}


def stopped(exit_code: int | None = 0, **fields: Any) -> dict[str, Any]:
    container = {"name": "worker"} | ({} if exit_code is None else {"exitCode": exit_code})
    times = {"startedAt": STARTED, "stoppedAt": STOPPED}
    said = {"stopCode": "EssentialContainerExited", "containers": [container]}
    return task(lastStatus="STOPPED", **(times | said | fields))


def report(status: ReportStatus = ReportStatus.SUCCEEDED, **fields: Any) -> RunReport:
    return RunReport(run_id="run", attempt=2, status=status, **fields)


def test_a_record_begins_with_what_the_request_and_the_registry_say() -> None:
    latest = FLOW.model_copy(update={"flow_version": "latest"})
    record = record_of(SECOND, TASK_ARN, latest, STARTED, EcsSettings(), REGISTERED)
    assert record == RunRecord(
        run_id="run",
        status="QUEUED",
        phase="SUBMITTED",
        created_at=STARTED,
        org_id="acme",
        flow_name="etl",
        flow_version="3",
        artifact_sha256="0" * 64,
        attempt=2,
        task_arn=TASK_ARN,
        correlation_id="trace",
        environment="staging",
        trigger_source="cron",
        triggered_by="anna",
        metadata={"ticket": 7},
        log=f"/ecs/dagy-worker dagy/worker/{TASK_ARN.rpartition('/')[2]}",
    )


def test_the_record_of_a_container_has_its_image_for_a_name() -> None:
    record = record_of(
        SECOND, TASK_ARN, ContainerRequest(image="registry/job:1", org_id="acme"), STARTED, EcsSettings()
    )
    assert (record.flow_name, record.flow_version) == ("job:1", "")


@pytest.mark.parametrize("status", ["PROVISIONING", "PENDING", "ACTIVATING", "DEPROVISIONING"])
def test_a_task_that_has_not_begun_changes_nothing(status: str) -> None:
    assert updated_from_task(RECORD, task(lastStatus=status), "worker") is RECORD


@pytest.mark.parametrize("status", ["RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING"])
def test_a_task_that_has_begun_and_not_ended_is_running(status: str) -> None:
    record = updated_from_task(RECORD, task(lastStatus=status, startedAt=STARTED), "worker")
    assert (record.status, record.phase, record.started_at, record.completed_at) == (
        "RUNNING",
        "RUNNING",
        STARTED,
        None,
    )


@pytest.mark.parametrize("status", ["RUNNING", "STOPPING", "DEPROVISIONING"])
def test_a_run_whose_end_its_worker_wrote_is_not_running_again(status: str) -> None:
    written = replace(RECORD, status="FAILED", phase="FAILED", started_at=STARTED, completed_at=STOPPED)
    assert updated_from_task(written, task(lastStatus=status, startedAt=STARTED), "worker") is written
    assert updated_from_task(written, stopped(1), "worker").outcome is not None


@pytest.mark.parametrize(
    ("said", "status", "kind"),
    [
        (stopped(0), "SUCCEEDED", Kind.SUCCEEDED),
        (stopped(1), "FAILED", Kind.FAILED),
        (stopped(None, stoppedReason="CannotPullContainerError"), "FAILED", Kind.START_FAILED),
        (stopped(143, stopCode="UserInitiated"), "CANCELLED", Kind.CANCELLED),
    ],
)
def test_a_stopped_task_ends_the_record(said: dict[str, Any], status: str, kind: Kind) -> None:
    record = updated_from_task(RECORD, said, "worker")
    assert (record.status, record.phase) == (status, status)
    assert (record.started_at, record.completed_at) == (STARTED, STOPPED)
    assert record.outcome is not None
    assert Outcome.from_dict(record.outcome).kind is kind
    assert (record.error_message is None) == (kind is Kind.SUCCEEDED)


@pytest.mark.parametrize(
    ("said", "resolution"),
    [
        ({"stopCode": "SpotInterruption"}, "launch it again, on FARGATE instead of FARGATE_SPOT"),
        ({"stopCode": "TerminationNotice"}, "nothing is wrong with the run: launch it again"),
        ({"containers": [{"name": "worker", "exitCode": 137, "reason": "OutOfMemoryError: killed"}]}, "more memory"),
    ],
)
def test_the_end_of_a_direct_run_promises_no_other_attempt(said: dict[str, Any], resolution: str) -> None:
    outcome = updated_from_task(RECORD, stopped(143, **said), "worker").outcome
    assert outcome is not None
    assert resolution in outcome["resolution"]
    assert "attempt" not in outcome["resolution"]
    assert outcome["no_retry"] == "it was launched directly, so nobody tries it again"


def test_a_direct_run_that_succeeded_or_was_stopped_says_nothing_of_retries() -> None:
    for said in (stopped(0), stopped(143, stopCode="UserInitiated")):
        assert "no_retry" not in (updated_from_task(RECORD, said, "worker").outcome or {})


def test_the_working_container_is_the_first_that_was_overridden() -> None:
    containers = [{"name": "log", "exitCode": 1}, {"name": "main", "exitCode": 0}]
    overrides = {"containerOverrides": [{"name": "main"}, {"name": "log"}]}
    said = stopped(containers=containers, overrides=overrides)
    assert updated_from_task(RECORD, said, "worker").status == "SUCCEEDED"


def test_a_stopped_task_without_times_ends_now_and_keeps_what_is_known() -> None:
    known = replace(RECORD, started_at=STARTED)
    record = updated_from_task(known, stopped(0, startedAt=None, stoppedAt=None), "worker")
    assert record.started_at == STARTED
    assert record.completed_at is not None


def test_a_report_ends_the_record() -> None:
    said = report(started_at="2026-01-01T00:00:20+00:00", finished_at="2026-01-01T00:01:00+00:00")
    record = updated_from_report(RECORD, said)
    assert (record.status, record.phase, record.error_message) == ("SUCCEEDED", "SUCCEEDED", None)
    assert (record.started_at, record.completed_at) == (STARTED, STOPPED)


def test_a_report_of_a_failure_says_what_went_wrong() -> None:
    record = updated_from_report(RECORD, report(ReportStatus.FAILED, error=ERROR))
    assert (record.status, record.error_message) == ("FAILED", "ValueError in task 'load': no rows")
    assert record.outcome is not None
    assert (record.outcome["kind"], record.outcome["task_arn"]) == ("failed", TASK_ARN)
    assert record.completed_at is not None


def test_what_ecs_knows_of_a_failed_flow_is_told_in_the_words_of_its_worker() -> None:
    seen = updated_from_task(RECORD, stopped(1), "worker")
    record = with_words_of(report(ReportStatus.FAILED, error=ERROR), seen)
    assert record.error_message == "ValueError in task 'load': no rows"
    outcome = Outcome.from_dict(record.outcome or {})
    assert (outcome.summary, outcome.exit_code) == (record.error_message, 1)
    assert outcome.detail.splitlines()[-1] == "ValueError: no rows"
    assert "mend the flow" in outcome.resolution


def test_a_failure_without_a_report_keeps_what_ecs_says() -> None:
    seen = updated_from_task(RECORD, stopped(1), "worker")
    assert with_words_of(None, seen) is seen
    assert with_words_of(report(ReportStatus.SUCCEEDED), seen) is seen


def test_of_an_endless_message_the_record_keeps_what_it_has_room_for() -> None:
    endless = replace(ERROR, message="x" * 500_000, traceback="y" * 500_000)
    record = updated_from_report(RECORD, report(ReportStatus.FAILED, error=endless))
    assert len(str(record.outcome)) < 20_000
    assert len(record.error_message or "") == 10_000
