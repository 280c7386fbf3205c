from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from dagy_queue import errors
from dagy_queue.errors import (
    AwsCapacity,
    AwsError,
    AwsRefused,
    AwsThrottled,
    AwsUnavailable,
    DagyQueueError,
    Problem,
    RequestInvalid,
    ResultTimeout,
    RunFailed,
)

DEFINED = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
]


def drawn_tree() -> dict[str, str | None]:
    """Read the tree in the docstring: each class and the one it is drawn under."""
    parents: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if not (found := re.match(r"^    ([│ ]*)(├── |└── )?([A-Z]\w+)(?:\s|$)", line)):
            continue
        depth = len(found[1]) // 4 + 1 if found[2] else 0
        del above[depth:]
        parents[found[3]] = above[-1] if above else None
        above.append(found[3])
    return parents


def test_the_drawn_tree_has_every_error_and_no_other() -> None:
    assert set(drawn_tree()) == {cls.__name__ for cls in DEFINED}


@pytest.mark.parametrize("cls", DEFINED, ids=lambda cls: cls.__name__)
def test_each_error_has_the_parent_it_is_drawn_under(cls: type[Exception]) -> None:
    drawn = drawn_tree()[cls.__name__]
    assert drawn == (None if cls is DagyQueueError else cls.__bases__[0].__name__)


@pytest.mark.parametrize("cls", [AwsError, AwsUnavailable, AwsThrottled, AwsCapacity, AwsRefused])
def test_aws_errors_keep_code_and_operation_when_copied_and_pickled(cls: type[AwsError]) -> None:
    error = cls("no", code="Nope", operation="ecs:RunTask")
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own bytes
        assert (type(other), str(other), other.code, other.operation) == (cls, "no", "Nope", "ecs:RunTask")


def test_a_run_failed_keeps_its_outcome_when_pickled() -> None:
    error = pickle.loads(pickle.dumps(RunFailed("it broke", {"kind": "failed", "exit_code": 1})))  # noqa: S301
    assert (str(error), error.outcome) == ("it broke", {"kind": "failed", "exit_code": 1})


def test_a_run_failed_can_be_made_again_from_its_arguments() -> None:
    error = RunFailed("it broke", {"kind": "failed"})
    again = RunFailed(*error.args)
    assert (str(again), again.outcome) == (str(error), error.outcome)


def test_a_run_failed_does_not_share_the_outcome_it_was_given() -> None:
    given = {"kind": "failed"}
    error = RunFailed("it broke", given)
    given["kind"] = "lost"
    assert error.outcome == {"kind": "failed"}


def test_a_request_invalid_keeps_its_problems_when_pickled() -> None:
    error = RequestInvalid([Problem("cpu", 300, "choose"), Problem("org_id", "", "a name")])
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (again.problems, str(again)) == (error.problems, str(error))


def test_a_request_invalid_of_one_sentence_has_no_problems() -> None:
    error = pickle.loads(pickle.dumps(RequestInvalid("no such file")))  # noqa: S301
    assert (error.problems, str(error)) == ((), "no such file")


def test_a_request_invalid_names_every_field() -> None:
    error = RequestInvalid([Problem("cpu", 300, "choose"), Problem("org_id", "", "a name")])
    assert "cpu = 300" in str(error)
    assert "org_id = ''" in str(error)


def test_a_problem_shortens_a_long_value() -> None:
    assert len(str(Problem("parameters", "x" * 10_000, "less"))) < 200


def test_a_number_that_python_does_not_write_can_be_told_of() -> None:
    assert str(Problem("parameters", {"n": 10**5000}, "less")) == "parameters = a dict too large to show: less"


def test_a_request_invalid_is_a_value_error() -> None:
    assert issubclass(RequestInvalid, ValueError)


def test_a_result_timeout_is_a_timeout_error() -> None:
    assert issubclass(ResultTimeout, TimeoutError)
