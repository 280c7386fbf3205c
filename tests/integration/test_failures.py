"""A failure explains itself, in the same words wherever one looks: the error, Celery (and Flower), status, explain."""

from __future__ import annotations

from typing import Any

import pytest
from celery.exceptions import ChordError

from dagy_queue import ContainerRequest, DagLauncher, RunFailed, RunHandle, fan_out, launch
from dagy_queue.local.stack import LocalStack
from dagy_queue.outcome_text import outcome_notes
from dagy_queue.records.models import bind_models
from dagy_queue.records.runs import find_run
from tests.integration.conftest import ORG, TIMEOUT
from tests.integration.waiting import eventually

FAILS = ContainerRequest(
    org_id=ORG,
    image="python:3.12-slim",
    command=("python", "-c", "for n in range(30): print('line', n, flush=True)\nraise SystemExit(4)"),
)


def failure_of(run: RunHandle) -> RunFailed:
    with pytest.raises(RunFailed) as caught:
        run.get(timeout=TIMEOUT)
    return caught.value


def told_everywhere(run: RunHandle, error: RunFailed) -> None:
    """Check that everybody says what the error says."""
    told = "\n".join(outcome_notes(error.outcome))
    assert "\n".join(error.__notes__) == told
    assert told in run.result.traceback
    status = eventually(lambda: _over(DagLauncher().get_run_status(run.run_id)), "the ledger has its end")
    assert status["outcome"] == error.outcome
    explained: Any = DagLauncher().explain(run.run_id)
    same = ("summary", "resolution", "log_lines", "task_arns", "exit_code", "task_arn")
    assert {name: explained[name] for name in same} == {name: error.outcome.get(name, []) for name in same}


def _over(status: Any) -> Any:
    return status if status["completed_at"] else None


def test_a_container_is_told_with_the_end_of_its_log_and_the_tasks_of_all_attempts(flows: LocalStack) -> None:
    run = launch(FAILS, max_retries=2, retry_delay=0)
    error = failure_of(run)
    assert error.outcome["log_lines"] == [f"line {n}" for n in range(10, 30)]
    assert list(error.outcome["task_arns"]) == ["1", "2", "3"]
    assert len(set(error.outcome["task_arns"].values())) == 3
    assert error.outcome["task_arns"]["3"] == error.outcome["task_arn"]
    told_everywhere(run, error)


def test_a_flow_is_told_with_its_traceback_and_the_lines_before_it(flows: LocalStack) -> None:
    run = launch(flow_name="broken", org_id=ORG, parameters={"message": "no luck"})
    error = failure_of(run)
    assert "Traceback (most recent call last)" in error.outcome["detail"]
    assert any("no luck" in line for line in error.outcome["log_lines"])
    told_everywhere(run, error)


def test_a_run_without_a_container_has_neither_log_nor_tasks(flows: LocalStack) -> None:
    run = launch(ContainerRequest(org_id=ORG, task_definition="no-such-family"))
    error = failure_of(run)
    assert error.outcome.keys() & {"log_lines", "task_arns"} == set()
    assert error.outcome["resolution"]


def test_the_frames_of_the_dispatcher_are_not_part_of_it(flows: LocalStack) -> None:
    run = launch(FAILS)
    failure_of(run)
    assert "concluding.py" not in run.result.traceback


def test_a_shard_is_told_as_a_run_is(flows: LocalStack) -> None:
    batch = fan_out(FAILS, [{}])
    with pytest.raises(ChordError):
        batch.get(timeout=TIMEOUT)
    (shard,) = batch.results()
    assert shard.outcome is not None
    assert shard.outcome["log_lines"][-1] == "line 29"


def test_the_record_keeps_it(flows: LocalStack) -> None:
    bind_models(flows.settings())
    run = launch(FAILS, max_retries=1, retry_delay=0)
    error = failure_of(run)
    record = eventually(lambda: _recorded(run.run_id), "the run is recorded")
    assert record.outcome == error.outcome


def test_a_run_that_succeeded_in_the_end_tells_the_tasks_of_all_attempts(flows: LocalStack) -> None:
    flaky = "import os, sys; sys.exit(75 if os.environ['DAGY_ATTEMPT'] == '1' else 0)"
    run = launch(FAILS, command=("python", "-c", flaky), max_retries=1, retry_delay=0)
    run.get(timeout=TIMEOUT)
    explained: Any = DagLauncher().explain(run.run_id)
    assert list(explained["task_arns"]) == ["1", "2"]


def _recorded(run_id: str) -> Any:
    found = find_run(run_id)
    return found if found is not None and found.completed_at else None
