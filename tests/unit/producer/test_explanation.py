from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dagy_queue.errors import AwsRefused
from dagy_queue.ledger import Phase, RunEntry, RunStatus
from dagy_queue.operate.explain import as_lines
from dagy_queue.producer.explanation import (
    Explanation,
    _with_policy,
    explanation_of_entry,
    explanation_of_record,
)
from dagy_queue.records import deployments
from dagy_queue.records.deployments import Deployment
from dagy_queue.records.runs import RunRecord
from dagy_queue.requests import ContainerRequest
from dagy_queue.settings import EcsSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OUTCOME = {
    "kind": "out_of_memory",
    "summary": "the container ran out of memory (exit code 137)",
    "detail": "OutOfMemoryError\nkilled",
    "resolution": "choose more memory",
    "exit_code": 137,
    "stop_code": "EssentialContainerExited",
    "task_arn": "arn:old",
}


def entry(phase: Phase, **values: Any) -> RunEntry:
    usual: dict[str, Any] = {
        "run_id": "r",
        "phase": phase,
        "attempt": 2,
        "retries": 1,
        "org_id": "acme",
        "flow_name": "etl",
        "correlation_id": "",
        "batch_id": "",
        "shard": None,
        "task_arn": "",
        "created_at": NOW,
        "changed_at": NOW,
        "started_at": NOW,
        "ended_at": None,
        "completion": None,
        "cancel_reason": "",
        "refusal": "",
    }
    return RunEntry(**{**usual, **values})


@pytest.mark.parametrize("phase", Phase)
def test_in_every_phase_there_is_something_that_happens_next(phase: Phase) -> None:
    found = explanation_of_entry(entry(phase), None)
    assert found["next"]
    assert (found["next"] == "nothing: the run is over") == phase.status.is_final


def test_a_run_that_waits_tells_how_it_ended_before_and_when_and_how_it_goes_on() -> None:
    waiting = entry(
        Phase.RETRYING,
        ended_before=OUTCOME,
        counts={"oom_retries": 1},
        change={"cpu": 256, "memory": 1024, "on_demand": True},
    )
    found = explanation_of_entry(waiting, 12.34)
    assert (
        found["next"]
        == "attempt 2 in 12 s, as attempt 1 has ended, with 1024 MiB of memory, on demand instead of on Spot"
    )
    assert (found["kind"], found["retry_in"], found["task_arn"]) == ("out_of_memory", 12.3, "arn:old")


def test_a_launch_that_was_refused_says_why_and_when_it_is_tried_again() -> None:
    found = explanation_of_entry(entry(Phase.HELD, refusal="RESOURCE:ENI"), 3.0)
    assert found["next"] == "its launch is tried again in 3 s: RESOURCE:ENI"


def test_a_record_is_explained_as_well() -> None:
    record = RunRecord(
        run_id="r",
        status="FAILED",
        phase="FAILED",
        created_at=NOW,
        org_id="acme",
        attempt=3,
        retries=2,
        retries_of={"max_retries": 2},
        limits={"max_retries": 3},
        log="/ecs/dagy-worker dagy/worker/abc",
        outcome=OUTCOME,
    )
    found = explanation_of_record(record)
    assert found is not None
    lines = list(as_lines(found))
    assert "attempt        3 (retries: 2 of 3 max_retries)" in lines
    assert "log            /ecs/dagy-worker dagy/worker/abc" in lines
    assert (found["summary"], found["attempt"], found["next"]) == (OUTCOME["summary"], 3, "nothing: the run is over")
    assert explanation_of_record(None) is None


def test_people_get_lines_of_what_there_is_to_say() -> None:
    over = entry(Phase.FAILED, completion={"outcome": OUTCOME}, counts={"oom_retries": 1}, task_arn="arn:new")
    assert list(as_lines(explanation_of_entry(over, None))) == [
        "run            r",
        "org            acme",
        "flow           etl",
        "status         FAILED",
        "attempt        2 (retries: 1 of oom_retries)",
        "created        2026-01-01T00:00:00+00:00",
        "started        2026-01-01T00:00:00+00:00",
        "what happened  the container ran out of memory (exit code 137)",
        "detail         OutOfMemoryError",
        "               killed",
        "what to do     choose more memory",
        "exit code      137",
        "task           arn:new",
        "next           nothing: the run is over",
    ]


def test_a_run_that_has_not_ended_yet_has_few_lines() -> None:
    lines = list(as_lines(explanation_of_entry(entry(Phase.PENDING, attempt=1), None)))
    assert lines == [
        "run            r",
        "org            acme",
        "flow           etl",
        "status         QUEUED (PENDING)",
        "attempt        1",
        "created        2026-01-01T00:00:00+00:00",
        "started        2026-01-01T00:00:00+00:00",
        "next           its task starts",
    ]


def explained(status: RunStatus = RunStatus.FAILED, asked: dict[str, Any] | None = None, **values: Any) -> Explanation:
    request = ContainerRequest(org_id="acme", image="registry/job:1", **(asked or {}))
    of_run = entry(Phase(status.value), **{"task_arn": "arn:aws:ecs:r:1:task/dagy/abc", **values})
    return explanation_of_entry(of_run, None, request, EcsSettings())


def test_retries_are_told_with_what_the_budget_allows() -> None:
    lines = list(as_lines(explained(asked={"max_retries": 3}, counts={"max_retries": 1})))
    assert "attempt        2 (retries: 1 of 3 max_retries)" in lines


@pytest.mark.parametrize(("asked", "limit"), [({}, "2"), ({"max_retries": 7}, "7"), ({"deployment_name": "gone"}, "0")])
def test_a_budget_that_the_deployment_sets_is_told(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], limit: str
) -> None:
    def find(_: str, name: str, environment: str) -> Deployment | None:
        found = Deployment(name=name, environment=environment, package_slugs=(), defaults={"max_retries": 2})
        return None if name == "gone" else found

    monkeypatch.setattr(deployments, "find_deployment", find)
    request = ContainerRequest(org_id="acme", image="job", **{"deployment_name": "prod", **asked})
    of_run = entry(Phase.RETRYING, counts={"max_retries": 1})
    told = explanation_of_entry(of_run, 1.0, _with_policy(request, of_run))
    assert told["limits"] == {"max_retries": int(limit)}


def test_a_deployment_that_cannot_be_read_leaves_the_requests_own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: str) -> None:
        raise AwsRefused("no credentials", code="NoCredentials")

    monkeypatch.setattr(deployments, "find_deployment", refused)
    request = ContainerRequest(org_id="acme", image="job", deployment_name="prod")
    assert _with_policy(request, entry(Phase.RETRYING, counts={"max_retries": 1})) is request


def test_a_container_is_told_by_its_image_and_its_log_by_group_and_stream() -> None:
    lines = list(as_lines(explained()))
    assert "image          registry/job:1" in lines
    assert "log            /ecs/dagy-worker dagy/worker/abc" in lines


def test_a_task_definition_that_is_not_ours_decides_where_its_log_is() -> None:
    assert explained(asked={"log_group": "/jobs"})["log"] == "/jobs dagy/worker/abc"
    request = ContainerRequest(org_id="acme", task_definition="theirs:1")
    of_run = entry(Phase.RUNNING, task_arn="arn:aws:ecs:r:1:task/dagy/abc")
    assert explanation_of_entry(of_run, None, request, EcsSettings())["log"] == ""
    assert explained(task_arn="")["log"] == ""


def test_the_size_of_an_attempt_is_what_it_grew_to() -> None:
    asked = {"cpu": 256, "memory": 512}
    assert "size           256 CPU units, 512 MiB" in as_lines(explained(asked=asked))
    grown = explained(asked=asked, change={"cpu": 256, "memory": 1024})
    assert "size           256 CPU units, 1024 MiB" in as_lines(grown)


def test_a_run_that_is_over_says_why_nothing_is_tried_again() -> None:
    outcome = OUTCOME | {"no_retry": "its oom_retries (1) are used up"}
    assert explained(completion={"outcome": outcome})["next"] == (
        "nothing: the run is over; its oom_retries (1) are used up"
    )


def test_a_cancelled_run_says_so_and_what_to_do() -> None:
    found = explained(RunStatus.CANCELLED, completion={"outcome": {"kind": "cancelled", "summary": "too dear"}})
    assert (found["summary"], "launch it again" in found["resolution"]) == ("too dear", True)
    assert explained(RunStatus.CANCELLED)["summary"] == "cancelled"


def test_a_detail_that_is_in_the_summary_is_left_out() -> None:
    outcome = OUTCOME | {"detail": "ran out of memory"}
    assert explained(completion={"outcome": outcome})["detail"] == ""


def test_a_shard_is_told_with_its_batch() -> None:
    lines = list(as_lines(explained(batch_id="b", shard=3, correlation_id="c:3")))
    assert "batch          b, shard 3" in lines
    assert "correlation    c:3" in lines
