from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.outcomes import Kind
from dagy_queue.outcomes.tasks import outcome_of_task

ARN = "arn:aws:ecs:us-east-1:123456789012:task/dagy/0123456789abcdef"


def task(*containers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"taskArn": ARN, "stopCode": "EssentialContainerExited", "containers": list(containers), **fields}


def exited(name: str, code: int | None = None, **fields: Any) -> dict[str, Any]:
    return {"name": name} | ({} if code is None else {"exitCode": code}) | fields


def overriding(*names: str) -> dict[str, Any]:
    return {"overrides": {"containerOverrides": [{"name": name} for name in names]}}


def test_an_outcome_has_what_the_task_says() -> None:
    outcome = outcome_of_task(task(exited("worker", 3, reason="why"), stoppedReason="that is why"), "worker")
    assert (outcome.kind, outcome.exit_code, outcome.task_arn) == (Kind.FAILED, 3, ARN)
    assert (outcome.stop_code, outcome.detail) == ("EssentialContainerExited", "why; that is why")


@pytest.mark.parametrize(
    ("overridden", "kind"),
    [
        (overriding("main", "worker"), Kind.SUCCEEDED),
        (overriding("worker", "main"), Kind.FAILED),
        (overriding(), Kind.FAILED),
        ({"overrides": {}}, Kind.FAILED),
        ({"overrides": None}, Kind.FAILED),
        ({}, Kind.FAILED),
    ],
    ids=["main first", "worker first", "none", "no overrides", "null", "not said"],
)
def test_the_working_container_is_the_first_overridden_or_else_the_settings(
    overridden: dict[str, Any], kind: Kind
) -> None:
    containers = (exited("log", 9), exited("worker", 1), exited("main", 0))
    assert outcome_of_task(task(*containers, **overridden), "worker").kind is kind


@pytest.mark.parametrize(
    "said",
    [
        task(exited("worker")),
        task(exited("worker", None, exitCode=None)),
        task(exited("log", 0)),
        task(),
        {"taskArn": ARN},
        {"taskArn": ARN, "containers": None, "stopCode": None, "stoppedReason": None},
    ],
    ids=["no code", "null code", "another container", "no container", "nothing said", "nulls"],
)
def test_a_working_container_without_an_exit_code_never_ran(said: dict[str, Any]) -> None:
    outcome = outcome_of_task(said, "worker")
    assert (outcome.kind, outcome.exit_code) == (Kind.START_FAILED, None)


@pytest.mark.parametrize("code", ["0", 0.0, True, False, [0]])
def test_an_exit_code_that_is_no_integer_is_no_task_s(code: Any) -> None:
    with pytest.raises(ValueError, match="exitCode"):
        outcome_of_task(task(exited("worker", None, exitCode=code)), "worker")


def test_what_has_no_arn_is_no_task() -> None:
    with pytest.raises(KeyError):
        outcome_of_task({"containers": []}, "worker")
