"""Outcomes and workers' reports."""

from __future__ import annotations

from dagy.contract import OUT_OF_MEMORY, ErrorReport, ReportStatus, RunReport
from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.outcomes.worker_reports import in_words_of, with_error, without_success

EXITED = Outcome(kind=Kind.SUCCEEDED, summary="the container exited with 0", exit_code=0, task_arn="arn", cpu=256)
KILLED = Outcome(kind=Kind.FAILED, summary="the container was killed (exit code 137)", exit_code=137, task_arn="arn")


def test_without_a_report_there_is_no_success() -> None:
    outcome = without_success(EXITED, None)
    assert (outcome.kind, outcome.exit_code, outcome.task_arn, outcome.cpu) == (Kind.FAILED, 0, "arn", 256)
    assert outcome.summary == "the container exited with 0 without writing its report"


def test_a_report_that_tells_an_error_is_believed() -> None:
    error = ErrorReport(type="ReportUnreadable", message="the worker's report cannot be read: not JSON")
    report = RunReport(run_id="r", attempt=1, status=ReportStatus.FAILED, error=error)
    assert without_success(EXITED, report).summary == error.message


def test_a_flow_that_was_killed_for_lack_of_memory_gets_more() -> None:
    outcome = with_error(KILLED, ErrorReport(type=OUT_OF_MEMORY, message="killed"))
    assert (outcome.kind, outcome.exit_code) == (Kind.OUT_OF_MEMORY, 137)
    assert "oom_retries" in outcome.resolution


def test_other_errors_leave_the_outcome_as_it_is() -> None:
    assert with_error(KILLED, ErrorReport(type="ProcessKilled", message="x")) == KILLED
    spot = Outcome(kind=Kind.SPOT, exit_code=137)
    assert with_error(spot, ErrorReport(type=OUT_OF_MEMORY, message="x")) == spot


def test_an_error_is_told_with_its_task_and_its_words_if_it_has_any() -> None:
    for message, summary in (("no luck", "ValueError in task 'act': no luck"), ("", "ValueError in task 'act'")):
        error = ErrorReport(type="ValueError", message=message, task="act")
        report = RunReport(run_id="r", attempt=1, status=ReportStatus.FAILED, error=error)
        assert in_words_of(report, KILLED).summary == summary
