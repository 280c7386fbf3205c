from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.dispatch.endings import refused, timed_out
from dagy_queue.dispatch.verdicts import without_another
from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.outcomes import Kind, Outcome
from dagy_queue.requests import ContainerRequest


def verdict(kind: Kind, used: dict[str, int] | None = None, asked: dict[str, Any] | None = None, **of: Any) -> Outcome:
    outcome = Outcome(**{"kind": kind, "summary": "s", "resolution": "let it go on", **of})
    return without_another(ContainerRequest(org_id="o", image="i", **(asked or {})), outcome, used or {})


def test_used_up_interruptions_name_their_budget_and_promise_no_other_attempt() -> None:
    found = verdict(Kind.SPOT, {"spot_retries": 1}, {"spot_retries": 1}, stop_code="SpotInterruption")
    assert found.resolution == "its spot_retries (1) are used up: raise them, or run it on FARGATE"
    assert found.no_retry == "its spot_retries (1) are used up"


def test_a_host_that_failed_is_no_reason_to_go_to_fargate() -> None:
    found = verdict(Kind.SPOT, {}, {"spot_retries": 0}, stop_code="InfrastructureHealth")
    assert found.resolution == "its spot_retries are 0: raise them, or launch it again"


@pytest.mark.parametrize(
    ("used", "grows", "resolution"),
    [
        (2, True, "its oom_retries (2) are used up: choose more memory for the run, or raise them"),
        (
            0,
            False,
            "its oom_retries are 0: choose more memory for the run, or raise them together with `grow_on_oom`",
        ),
    ],
)
def test_memory_that_ran_out_for_the_last_time_is_not_left_to_the_retries(
    used: int, grows: bool, resolution: str
) -> None:
    found = verdict(Kind.OUT_OF_MEMORY, {"oom_retries": used}, {"oom_retries": used, "grow_on_oom": grows})
    assert found.resolution == resolution


def test_failures_keep_their_advice_and_name_the_budget_that_is_used_up() -> None:
    found = verdict(Kind.FAILED, {"max_retries": 2}, {"max_retries": 2}, exit_code=3)
    assert found.resolution == "let it go on; its max_retries (2) are used up: raise them to have it tried again"
    assert verdict(Kind.FAILED, exit_code=3).resolution == "let it go on"
    assert verdict(Kind.FAILED, exit_code=3).no_retry == "its max_retries are 0"


def test_an_exit_code_that_is_not_in_the_list_is_named_with_the_list() -> None:
    found = verdict(Kind.FAILED, {}, {"max_retries": 3, "retry_on_exit_codes": [111, 75]}, exit_code=99)
    assert found.no_retry == "exit code 99 is not in its retry_on_exit_codes (75, 111)"
    assert found.no_retry in found.resolution


def test_a_start_that_would_fail_again_says_so() -> None:
    assert verdict(Kind.START_FAILED).no_retry == "this would fail again the same way"
    assert verdict(Kind.START_FAILED).resolution == "let it go on"


def test_a_run_that_was_too_late_names_its_timeout_once() -> None:
    assert timed_out(None, 30).summary == "the run did not end within its timeout of 30 s"
    without_container = timed_out(timed_out(), 30)
    assert without_container.detail == "it waited for its next attempt"


def test_a_launch_that_was_refused_says_what_is_wrong_in_one_line_and_once() -> None:
    found = refused(RequestInvalid([Problem("memory", 1, "512 or more")]))
    assert "\n" not in found.summary
    assert "nothing was sent" not in found.summary
    assert "memory" in found.summary
    assert found.detail == ""
