"""One outcome, told in the same words by the error, by Celery and by the command line."""

from __future__ import annotations

import pickle
import traceback

from dagy_queue.errors import RunFailed
from dagy_queue.outcome_text import attempts_text, outcome_rows
from dagy_queue.outcomes import Kind, Outcome

OUTCOME = Outcome(
    kind=Kind.FAILED,
    summary="the container failed (exit code 3)",
    detail="Essential container in task exited",
    resolution="read the log",
    exit_code=3,
    log_lines=("working", "no luck"),
    task_arns={"1": "arn:1", "10": "arn:10", "2": "arn:2"},
    task_arn="arn:10",
)
TOLD = """dagy_queue.errors.RunFailed: the container failed (exit code 3)
detail: Essential container in task exited
what to do: read the log
exit code: 3
log ends with:
  working
  no luck
task:
  arn:1 (attempt 1)
  arn:2 (attempt 2)
  arn:10 (attempt 10)
"""


def test_the_error_tells_all_of_it_below_its_message() -> None:
    error = RunFailed(OUTCOME.summary, OUTCOME.to_dict())
    assert "".join(traceback.format_exception(error)) == TOLD
    assert (str(error), repr(error)) == (OUTCOME.summary, f"RunFailed({OUTCOME.summary!r})")


def test_the_error_is_the_same_after_a_journey() -> None:
    error = pickle.loads(pickle.dumps(RunFailed(OUTCOME.summary, OUTCOME.to_dict())))  # noqa: S301 - our own
    assert "".join(traceback.format_exception(error)) == TOLD


def test_an_outcome_survives_its_plain_form() -> None:
    assert Outcome.from_dict(OUTCOME.to_dict()) == OUTCOME
    bare = Outcome(kind=Kind.LOST)
    assert bare.to_dict() == {"kind": "lost", "summary": "", "transient": False}
    assert Outcome.from_dict(bare.to_dict()) == bare


def test_what_the_summary_says_already_is_not_repeated() -> None:
    assert dict(outcome_rows({"summary": "it broke: badly", "detail": "it broke"})) == {}


def test_one_task_is_told_without_its_attempt() -> None:
    assert attempts_text({"1": "arn:1"}) == attempts_text({}, "arn:1") == "arn:1"
    assert attempts_text({}) == ""


def test_an_error_without_an_outcome_is_its_message() -> None:
    assert "".join(traceback.format_exception(RunFailed("no"))) == "dagy_queue.errors.RunFailed: no\n"
