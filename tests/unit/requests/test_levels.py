from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.requests.levels import level_problems


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ({"max_retries": -1}, "p.x.max_retries = -1: 0 to 100"),
        ({"max_retries": "x"}, "p.x.max_retries = 'x': a whole number, 0 to 100"),
        ({"cpuu": 256}, "p.x.cpuu = '(hidden)': no such field; did you mean cpu?"),
        ({"parameters": "hunter2"}, "p.x.parameters = '(hidden)': names and their values, as in {'A': 'b'}"),
        ({"cpu": 256, "memory": 513}, "p.x.size = 'cpu 256, memory 513': cpu 256 with memory 513: choose memory"),
        ({"cpu": 300}, "p.x.cpu = 300: 256, 512, 1024"),
        (3, "p.x = '(hidden)': fields of a request"),
    ],
)
def test_what_no_request_could_take_is_told_once(level: Any, told: str) -> None:
    (problem,) = level_problems(level, "p.x")
    assert str(problem).startswith(told)


@pytest.mark.parametrize(
    "level",
    [
        {},
        {"cpu": 256},
        {"memory": 512},
        {"cpu": 300, "memory": 600, "launch_type": "EC2"},
        {"image": "a", "worker_image": "b"},
        {"kind": "container"},
        {"task_definition_template": "task.json"},
        {"max_retries": None},
    ],
)
def test_what_another_level_may_complete_is_no_problem(level: Any) -> None:
    assert level_problems(level, "p.x") == []
