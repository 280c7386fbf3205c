from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from dagy.contract import ReportStatus, RunReport
from dagy_queue.errors import (
    AwsCapacity,
    AwsError,
    AwsRefused,
    AwsThrottled,
    AwsUnavailable,
    FlowNotFound,
    RequestInvalid,
)
from dagy_queue.ids import AttemptId
from dagy_queue.launching import direct
from dagy_queue.launching.direct import DirectLauncher
from dagy_queue.launching.flows import FlowResolver
from dagy_queue.records.runs import RunRecord
from tests.unit.launching.kit import (
    FLOW,
    JOB,
    MemoryAws,
    container,
    deployments,
    find_flow,
    refusal,
    settings,
    variables,
)

THROTTLE = refusal("ThrottlingException", "Rate exceeded")
STOPPED_AT = datetime(2026, 1, 1, tzinfo=UTC)


class Records:
    """DynamoDB's table of runs, in memory; it can be out of reach."""

    def __init__(self) -> None:
        self.kept: dict[str, RunRecord] = {}
        self.error: AwsError | None = None
        self.writes = 0

    def put(self, record: RunRecord) -> None:
        if self.error:
            raise self.error
        self.writes += 1
        self.kept[record.run_id] = record

    def replace(self, known: RunRecord, record: RunRecord) -> bool:
        if self.kept[record.run_id] == known:
            self.put(record)
        return self.kept[record.run_id] == record

    def find(self, run_id: str) -> RunRecord | None:
        return self.kept.get(run_id)


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> Records:
    table = Records()
    monkeypatch.setattr(direct, "replace_run", table.replace)
    monkeypatch.setattr(direct, "add_run", table.put)
    monkeypatch.setattr(direct, "find_run", table.find)
    monkeypatch.setattr(direct, "find_run_of_any_org", table.find)
    return table


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> MemoryAws:
    clients = MemoryAws()
    monkeypatch.setattr(direct, "AwsClients", lambda _: clients)
    return clients


Make = Callable[..., DirectLauncher]


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def make(records: Records, aws: MemoryAws, slept: list[float]) -> Make:
    def launcher(**sections: Any) -> DirectLauncher:
        made = DirectLauncher(settings(**sections), slept.append)
        made._planner._flows = FlowResolver(10, find_flow)
        made._planner._deployments = deployments()
        return made

    return launcher


def tokens(aws: MemoryAws) -> list[str]:
    return [asked["clientToken"] for asked in aws.ecs_of().asked("RunTask")]


def test_a_run_is_launched_and_recorded(make: Make, aws: MemoryAws, records: Records) -> None:
    launched = make().launch("run", FLOW)
    assert (launched.attempt_id, tokens(aws)) == (AttemptId("run", 1), ["run-1"])
    record = records.kept["run"]
    assert (record.task_arn, record.status, record.attempt) == (launched.task_arn, "QUEUED", 1)


def test_the_same_run_is_launched_once(make: Make, aws: MemoryAws) -> None:
    assert make().launch("run", FLOW).task_arn == make().launch("run", FLOW).task_arn


def test_processes_share_definitions_without_a_ledger(make: Make, aws: MemoryAws) -> None:
    for number in range(5):
        make().launch(f"run-{number}", JOB)
    assert len(aws.ecs_of().asked("RegisterTaskDefinition")) == 1


def test_a_throttle_is_waited_out_under_the_same_token(make: Make, aws: MemoryAws, slept: list[float]) -> None:
    aws.ecs_of().failures = [THROTTLE, refusal("ServerException", "Internal error"), THROTTLE]
    assert make().launch("run", FLOW).attempt_id.attempt == 1
    assert tokens(aws) == ["run-1"] * 4
    assert len(slept) == 3
    assert 0.25 <= slept[0] <= 0.5
    assert 1 <= slept[2] <= 2


def test_a_lack_of_room_is_waited_out_under_a_new_token(make: Make, aws: MemoryAws, records: Records) -> None:
    aws.ecs_of().failures = ["RESOURCE:MEMORY", THROTTLE, "AGENT"]
    assert make().launch("run", FLOW).attempt_id == AttemptId("run", 3)
    assert tokens(aws) == ["run-1", "run-2", "run-2", "run-3"]
    assert records.kept["run"].attempt == 3


@pytest.mark.parametrize(
    ("failure", "cls"), [(THROTTLE, AwsThrottled), ("RESOURCE:CPU", AwsCapacity)], ids=["throttle", "capacity"]
)
def test_what_lasts_longer_than_the_caller_waits_is_raised(
    make: Make, aws: MemoryAws, records: Records, slept: list[float], failure: Any, cls: type[AwsError]
) -> None:
    aws.ecs_of().failures = [failure] * 50
    with pytest.raises(cls):
        make(launch={"submit_timeout": 0.1}).launch("run", FLOW)
    assert (slept, records.kept) == ([], {})


def test_where_the_fate_of_a_launch_is_unknown_the_error_says_how_to_find_out(make: Make, aws: MemoryAws) -> None:
    aws.ecs_of().failures = [refusal("ServerException", "Internal error")] * 50
    with pytest.raises(AwsUnavailable, match="launch again with run_id='run' to find out"):
        make(launch={"submit_timeout": 0.1}).launch("run", FLOW)


def test_a_run_id_of_the_callers_own_launches_once_however_late(make: Make, aws: MemoryAws) -> None:
    first = make().launch("run", FLOW, own_id=True)
    assert make().launch("run", FLOW, own_id=True) == first
    assert tokens(aws) == ["run-1"]


def test_a_run_id_that_another_org_has_is_refused(make: Make, aws: MemoryAws) -> None:
    make().launch("run", FLOW, own_id=True)
    with pytest.raises(RequestInvalid, match="no other run has"):
        make().launch("run", FLOW.model_copy(update={"org_id": "other"}), own_id=True)
    assert tokens(aws) == ["run-1"]


def test_the_time_that_passes_counts(
    monkeypatch: pytest.MonkeyPatch, make: Make, aws: MemoryAws, slept: list[float]
) -> None:
    monkeypatch.setattr(direct, "time", SimpleNamespace(monotonic=lambda: sum(slept), sleep=time.sleep))
    aws.ecs_of().failures = [THROTTLE] * 50
    with pytest.raises(AwsThrottled):
        make(launch={"submit_timeout": 30}).launch("run", FLOW)
    assert 4 <= len(slept) <= 8
    assert sum(slept) <= 30


@pytest.mark.parametrize(
    ("failure", "cls"), [(refusal("AccessDeniedException", "no"), AwsRefused), ("ATTRIBUTE", AwsRefused)]
)
def test_what_would_be_refused_again_is_raised_at_once(
    make: Make, aws: MemoryAws, records: Records, slept: list[float], failure: Any, cls: type[AwsError]
) -> None:
    aws.ecs_of().failures = [failure]
    with pytest.raises(cls):
        make().launch("run", FLOW)
    assert (len(tokens(aws)), slept, records.kept) == (1, [], {})


def test_a_flow_that_nobody_registered_is_raised_at_once(make: Make, aws: MemoryAws) -> None:
    with pytest.raises(FlowNotFound):
        make().launch("run", FLOW.model_copy(update={"flow_name": "unknown"}))
    assert tokens(aws) == []


def test_a_definition_that_was_deregistered_is_registered_again(make: Make, aws: MemoryAws) -> None:
    launcher = make()
    launcher.launch("one", FLOW)
    aws.ecs_of().deregister(aws.ecs_of().asked("RunTask")[0]["taskDefinition"])
    launcher.launch("two", FLOW)
    used = [asked["taskDefinition"].rpartition(":")[2] for asked in aws.ecs_of().asked("RunTask")]
    assert used == ["1", "1", "2"]


def test_a_record_that_cannot_be_written_does_not_fail_the_launch(make: Make, records: Records) -> None:
    records.error = AwsUnavailable("DynamoDB is away")
    with capture_logs() as logs:
        assert make().launch("run", FLOW).task_arn
    assert [(line["event"], line["run_id"]) for line in logs] == [("run_not_recorded", "run")]


class Ending:
    """A launched run, and what AWS says of it later."""

    def __init__(self, launcher: DirectLauncher, aws: MemoryAws) -> None:
        self.launcher = launcher
        self.arn = launcher.launch("run", FLOW).task_arn
        self.tasks: list[dict[str, Any]] = []
        self.report = ""
        self.described: list[dict[str, Any]] = []
        aws.ecs_of().describe_tasks = self._describe  # type: ignore[attr-defined]
        aws.s3.get_object = self._get

    def _describe(self, **asked: Any) -> dict[str, Any]:
        self.described.append(asked)
        return {"tasks": self.tasks, "failures": []}

    def _get(self, **asked: Any) -> dict[str, Any]:
        if not self.report:
            raise refusal("NoSuchKey", "", "GetObject")
        assert asked["Key"] == "results/acme/run/1/report.json"
        return {"Body": SimpleNamespace(read=self.report.encode)}

    def find(self) -> RunRecord:
        record = self.launcher.find("run")
        assert record is not None
        return record


@pytest.fixture
def ending(make: Make, aws: MemoryAws) -> Ending:
    return Ending(make(), aws)


def task(arn: str, status: str, **fields: Any) -> dict[str, Any]:
    return {"taskArn": arn, "lastStatus": status, "containers": [{"name": "worker", "exitCode": 0}], **fields}


def test_a_run_is_brought_up_to_date_from_ecs(ending: Ending, records: Records) -> None:
    ending.tasks = [task(ending.arn, "RUNNING", startedAt=STOPPED_AT)]
    assert ending.find().status == "RUNNING"
    ending.report = RunReport(run_id="run", attempt=1, status=ReportStatus.SUCCEEDED).to_json()
    ending.tasks = [task(ending.arn, "STOPPED", stoppedAt=STOPPED_AT)]
    assert (ending.find().status, ending.find().completed_at) == ("SUCCEEDED", STOPPED_AT)
    assert records.kept["run"].status == "SUCCEEDED"
    assert ending.described == [{"cluster": "dagy", "tasks": [ending.arn]}] * 2


def test_a_run_that_goes_on_is_written_only_when_something_changed(ending: Ending, records: Records) -> None:
    ending.tasks = [task(ending.arn, "PENDING")]
    for _ in range(3):
        assert ending.find().status == "QUEUED"
    assert records.writes == 1


def test_what_the_worker_writes_meanwhile_is_looked_at_anew(
    ending: Ending, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending.tasks = [task(ending.arn, "STOPPED", stoppedAt=STOPPED_AT, containers=[{"name": "worker", "exitCode": 1}])]
    writes = iter([{"started_at": STOPPED_AT}, {"status": "FAILED", "completed_at": STOPPED_AT}])

    def replace_after_the_worker(known: RunRecord, record: RunRecord) -> bool:
        records.kept["run"] = replace(records.kept["run"], **next(writes, {}))
        return records.replace(known, record)

    monkeypatch.setattr(direct, "replace_run", replace_after_the_worker)
    assert ending.find().outcome is not None
    assert records.kept["run"] == ending.find()


@pytest.mark.usefixtures("records")
def test_a_worker_that_writes_all_the_time_keeps_nobody(ending: Ending, monkeypatch: pytest.MonkeyPatch) -> None:
    ending.tasks = [task(ending.arn, "RUNNING", startedAt=STOPPED_AT)]
    monkeypatch.setattr(direct, "replace_run", lambda *_: False)
    assert ending.find().status == "RUNNING"


def test_a_run_that_ecs_forgot_is_known_by_its_report(ending: Ending, records: Records) -> None:
    report = RunReport(run_id="run", attempt=1, status=ReportStatus.SUCCEEDED, result=1)
    ending.report = report.to_json()
    assert ending.find().status == "SUCCEEDED"
    assert records.kept["run"].completed_at is not None


@pytest.mark.parametrize("report", ["", "nonsense", '{"schema": 99}'])
def test_a_run_that_ecs_forgot_without_a_report_is_as_the_record_has_it(ending: Ending, report: str) -> None:
    ending.report = report
    assert ending.find().status == "QUEUED"


def test_what_is_found_is_told_though_it_cannot_be_written(ending: Ending, records: Records) -> None:
    records.error = AwsUnavailable("DynamoDB is away")
    ending.report = RunReport(run_id="run", attempt=1, status=ReportStatus.SUCCEEDED).to_json()
    ending.tasks = [task(ending.arn, "STOPPED")]
    assert ending.find().status == "SUCCEEDED"


def test_a_flow_that_exits_with_0_without_a_report_has_not_succeeded(ending: Ending, records: Records) -> None:
    ending.tasks = [task(ending.arn, "STOPPED", stoppedAt=STOPPED_AT)]
    found = ending.find()
    assert (found.status, found.phase, found.completed_at) == ("FAILED", "FAILED", STOPPED_AT)
    assert found.error_message == "the container exited with 0 without writing its report"
    assert found.outcome is not None
    assert found.outcome["kind"] == "failed"


@pytest.mark.parametrize("foreign", [{"flow_version": ""}])
def test_other_containers_owe_no_report(ending: Ending, records: Records, foreign: dict[str, Any]) -> None:
    records.kept["run"] = replace(records.kept["run"], **foreign)
    ending.tasks = [task(ending.arn, "STOPPED")]
    assert ending.find().status == "SUCCEEDED"


def test_a_run_whose_end_its_worker_wrote_gets_its_outcome_from_ecs(ending: Ending, records: Records) -> None:
    written = replace(records.kept["run"], status="SUCCEEDED", phase="SUCCEEDED", completed_at=STOPPED_AT)
    records.kept["run"] = written
    ending.tasks = [task(ending.arn, "DEPROVISIONING", startedAt=STOPPED_AT)]
    assert ending.find() == written
    ending.tasks = [task(ending.arn, "STOPPED", stoppedAt=STOPPED_AT)]
    assert (ending.find().status, ending.find().outcome) == ("SUCCEEDED", records.kept["run"].outcome)
    assert records.kept["run"].outcome is not None
    assert len(ending.described) == 2


def test_a_direct_run_is_recorded_with_the_version_that_latest_meant(make: Make, records: Records) -> None:
    launcher = make()
    launcher.launch("run", FLOW)
    record = records.kept["run"]
    assert (FLOW.flow_version, record.flow_version, record.artifact_sha256) == ("latest", "7", "0" * 64)


def test_a_direct_run_that_finds_no_room_stays_on_its_version(make: Make, aws: MemoryAws, records: Records) -> None:
    pushed = iter(["7", "8", "9"])
    launcher = make()
    launcher._planner._flows = FlowResolver(0, lambda org, name, _: find_flow(org, name, next(pushed)))
    aws.ecs_of().failures = ["RESOURCE:MEMORY", "RESOURCE:MEMORY"]
    launcher.launch("run", FLOW)
    assert (records.kept["run"].attempt, records.kept["run"].flow_version) == (3, "7")
    specs = [json.loads(variables(container(asked))["DAGY_RUN_SPEC"]) for asked in aws.ecs_of().asked("RunTask")]
    assert [spec["flow_version"] for spec in specs] == ["7", "7", "7"]


@pytest.mark.parametrize("fields", [{"outcome": {"kind": "failed"}, "status": "FAILED"}, {"task_arn": ""}])
def test_of_a_run_that_is_over_or_has_no_task_the_record_alone_tells(
    ending: Ending, records: Records, fields: dict[str, Any]
) -> None:
    records.kept["run"] = replace(records.kept["run"], **fields)
    assert ending.find() == records.kept["run"]
    assert ending.described == []


def test_a_run_that_nobody_recorded_is_none(make: Make) -> None:
    assert make().find("nobody") is None


def test_an_ecs_out_of_reach_is_an_error_of_ours(ending: Ending, aws: MemoryAws) -> None:
    def throttle(**_: Any) -> Any:
        raise refusal("ThrottlingException", "Rate exceeded", "DescribeTasks")

    aws.ecs_of().describe_tasks = throttle  # type: ignore[attr-defined]
    with pytest.raises(AwsThrottled):
        ending.find()
