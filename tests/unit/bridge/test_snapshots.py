from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from dagy_queue.bridge.snapshots import MOST_METADATA, record_of
from dagy_queue.ledger import Phase, RunEntry
from dagy_queue.ledger.history import Snapshot
from dagy_queue.records.runs import RunRecord
from dagy_queue.settings import EcsSettings

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ENTRY = RunEntry(
    run_id="r",
    phase=Phase.RUNNING,
    attempt=2,
    retries=1,
    org_id="acme",
    flow_name="etl",
    correlation_id="c",
    batch_id="b",
    shard=0,
    task_arn="arn",
    created_at=NOON,
    changed_at=NOON,
    started_at=NOON,
    ended_at=None,
    completion=None,
    cancel_reason="",
    refusal="",
)
REQUEST = {
    "kind": "flow",
    "org_id": "acme",
    "flow_name": "etl",
    "flow_version": "1.0.0",
    "environment": "production",
    "trigger_source": "api",
    "triggered_by": "ann",
    "metadata": {"ticket": 7},
}


def recorded(request: dict[str, Any] | None = None, **changes: Any) -> RunRecord:
    return record_of(Snapshot(replace(ENTRY, **changes), REQUEST if request is None else request))


@pytest.mark.parametrize("phase", [Phase.SUCCEEDED, Phase.FAILED])
def test_a_run_that_is_over_has_its_log_and_what_its_budgets_allow(phase: Phase) -> None:
    request = {**REQUEST, "max_retries": 3}
    changes = {"phase": phase, "ended_at": NOON, "counts": {"max_retries": 1, "spot_retries": 2}}
    record = record_of(Snapshot(replace(ENTRY, **changes), request), EcsSettings())
    assert record.retries_of == {"max_retries": 1, "spot_retries": 2}
    assert record.limits == {"max_retries": 3, "spot_retries": 5}
    assert record.log == "/ecs/dagy-worker dagy/worker/arn"


def test_a_run_that_goes_on_has_its_retries_alone() -> None:
    record = record_of(Snapshot(replace(ENTRY, counts={"max_retries": 1}), REQUEST), EcsSettings())
    assert (record.retries_of, record.limits, record.log) == ({"max_retries": 1}, {}, "")


def test_a_limit_that_the_deployment_may_set_is_not_told() -> None:
    request = {**REQUEST, "deployment_name": "prod", "max_retries": 0}
    changes = {"phase": Phase.FAILED, "counts": {"max_retries": 1, "oom_retries": 1}}
    assert record_of(Snapshot(replace(ENTRY, **changes), request)).limits == {"max_retries": 0}


@pytest.mark.parametrize("request_", [{}, {"kind": "flow", "no": "such field"}])
def test_a_request_that_cannot_be_read_has_neither_log_nor_limits(request_: dict[str, Any]) -> None:
    changes = {"phase": Phase.FAILED, "counts": {"max_retries": 1}}
    record = record_of(Snapshot(replace(ENTRY, **changes), request_), EcsSettings())
    assert (record.limits, record.log) == ({}, "")


def ended(phase: Phase, **outcome: Any) -> RunRecord:
    return recorded(phase=phase, ended_at=NOON, completion={"outcome": outcome} if outcome else None)


def test_a_record_says_all_that_is_known() -> None:
    assert recorded() == RunRecord(
        run_id="r",
        status="RUNNING",
        phase="RUNNING",
        created_at=NOON,
        org_id="acme",
        flow_name="etl",
        flow_version="1.0.0",
        attempt=2,
        retries=1,
        task_arn="arn",
        correlation_id="c",
        batch_id="b",
        shard=0,
        environment="production",
        trigger_source="api",
        triggered_by="ann",
        metadata={"ticket": 7},
        started_at=NOON,
    )


@pytest.mark.parametrize("asked", ["latest", "1.0.0"])
def test_the_version_that_runs_is_recorded_not_the_one_that_was_asked_for(asked: str) -> None:
    record = recorded(REQUEST | {"flow_version": asked}, flow_version="2.0.0", artifact_sha256="ab")
    assert (record.flow_version, record.artifact_sha256) == ("2.0.0", "ab")


@pytest.mark.parametrize(
    ("phase", "status"), [(Phase.HELD, "QUEUED"), (Phase.STOPPED, "RUNNING"), (Phase.CANCELLED, "CANCELLED")]
)
def test_the_status_is_the_public_one(phase: Phase, status: str) -> None:
    assert recorded(phase=phase).status == status


def test_a_failed_run_has_its_error_and_outcome() -> None:
    record = ended(Phase.FAILED, kind="failed", summary="ValueError: no luck", exit_code=1)
    assert record.error_message == "ValueError: no luck"
    assert record.outcome == {"kind": "failed", "summary": "ValueError: no luck", "exit_code": 1}
    assert record.completed_at == NOON


@pytest.mark.parametrize("phase", [Phase.SUCCEEDED, Phase.STOPPED, Phase.RETRYING])
def test_a_run_that_did_not_fail_has_no_error(phase: Phase) -> None:
    assert ended(phase, kind="failed", summary="exit code 1").error_message is None


def test_a_cancelled_run_says_why_even_without_an_outcome() -> None:
    assert recorded(phase=Phase.CANCELLED, cancel_reason="too slow").error_message == "too slow"
    assert recorded(phase=Phase.FAILED).error_message == "failed"


def test_a_version_that_was_not_said_is_latest() -> None:
    assert recorded({"org_id": "acme", "flow_name": "etl"}).flow_version == "latest"


@pytest.mark.parametrize("request_", [{}, {"kind": "container", "image": "x"}])
def test_what_is_no_flow_has_no_version(request_: dict[str, Any]) -> None:
    assert recorded(request_).flow_version == ""


def test_metadata_that_no_item_could_hold_is_left_out() -> None:
    record = recorded({"metadata": {"a": "x" * MOST_METADATA}})
    assert record.metadata == {"dagy": f"left out of the record: {MOST_METADATA + 9} characters of JSON"}


def test_long_texts_of_an_outcome_keep_their_end() -> None:
    outcome = ended(Phase.FAILED, kind="failed", summary="s", detail="x" * 50_000 + "end").outcome
    assert outcome is not None
    assert len(outcome["detail"]) == 10_000
    assert outcome["detail"].endswith("end")
