from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.dispatch.services import RequestReader
from dagy_queue.dispatch.tasks import _inline, _rendered, _with_upstream
from dagy_queue.errors import RequestInvalid
from dagy_queue.requests import ContainerRequest, LaunchRequest, read_request
from tests.unit.strategies import json_values, unhurried

FLOW = {"kind": "flow", "flow_name": "etl", "org_id": "acme", "correlation_id": "trace"}
TASK: Any = SimpleNamespace(request=SimpleNamespace(id="run-7"))


def first_pass(request: Any, receives: str | None = None, *upstream: Any) -> Any:
    """What ``dagy.launch`` parks of a request, as it puts the two together."""
    return _with_upstream(_rendered(TASK, request), receives, upstream)


def test_the_first_pass_fills_in_templates() -> None:
    request = FLOW | {
        "environment": "staging",
        "parameters": {"out": ["s3://b/{{ run.org_id }}/{{run.id}}"], "n": 1},
        "extra_env_vars": {"WHO": "{{ run.flow_name }}@{{ run.flow_version }} {{ run.environment }}"},
    }
    parked = first_pass(request)
    assert parked["parameters"] == {"out": ["s3://b/acme/run-7"], "n": 1}
    assert parked["extra_env_vars"] == {"WHO": "etl@latest staging"}


def test_without_a_correlation_id_it_is_the_run_s() -> None:
    parked = first_pass({"parameters": {"trace": "{{ run.correlation_id }}"}})
    assert parked["parameters"] == {"trace": "run-7"}


@unhurried
@given(json_values | st.sampled_from(["{{ run.id }}", ["{{ run.org_id }}"], {"{{ run.id }}": "{{ x }}"}]))
def test_another_task_s_result_is_data_whatever_it_looks_like(result: Any) -> None:
    parked = first_pass(FLOW | {"parameters": {"id": "{{ run.id }}", "rows": "replaced"}}, "rows", result)
    assert parked["parameters"] == {"id": "run-7", "rows": result}
    request = read_request(parked)
    assert isinstance(request, LaunchRequest)
    assert request.parameters == parked["parameters"]


@pytest.mark.parametrize("parameters", [{}, {"parameters": None}, {"parameters": {}}])
def test_a_result_needs_no_other_parameters(parameters: Mapping[str, Any]) -> None:
    assert first_pass({**FLOW, **parameters}, "rows", [1])["parameters"] == {"rows": [1]}


@pytest.mark.parametrize(("receives", "upstream"), [(None, ([1],)), ("", ([1],)), ("rows", ())])
def test_a_result_that_nobody_asked_for_is_left(receives: str | None, upstream: tuple[Any, ...]) -> None:
    assert first_pass(FLOW, receives, *upstream) == FLOW


@pytest.mark.parametrize("request_", [None, "etl", ["etl"], FLOW | {"parameters": "rows"}])
def test_what_is_no_request_is_left_for_validation_to_refuse(request_: Any) -> None:
    with pytest.raises(RequestInvalid):
        read_request(first_pass(request_, "rows", [1]))


def test_a_direct_call_hands_on_the_result_as_data_too() -> None:
    sent: list[Any] = []

    def send_task(name: str, args: Any, kwargs: Any) -> Any:
        sent.append((name, args, kwargs))
        return SimpleNamespace(get=lambda **_: "done")

    kwargs = {"request": FLOW, "receives": "rows"}
    assert _inline(SimpleNamespace(send_task=send_task), (["{{ run.id }}"],), kwargs) == "done"  # type: ignore[arg-type]
    assert sent == [("dagy.launch", (["{{ run.id }}"],), kwargs)]


class Batches:
    """A ledger with one batch, that counts how often it is asked."""

    def __init__(self, **fields: Any) -> None:
        self.asked = 0
        self._request = {**FLOW, **fields}

    def get(self, _: str) -> Any:
        self.asked += 1
        return SimpleNamespace(request=self._request)


def reader(batches: Batches) -> RequestReader:
    return RequestReader(batches)  # type: ignore[arg-type]


def test_a_shard_s_templates_are_filled_in_with_its_own_number() -> None:
    batches = Batches(parameters={"out": "{{ run.batch_id }}/{{ run.shard }}"}, extra_env_vars={"ID": "{{ run.id }}"})
    requests = reader(batches)
    read = [requests.read(f"run-{n}", {"parameters": {"n": n}}, "batch", n) for n in range(3)]
    assert [r.parameters for r in read if isinstance(r, LaunchRequest)] == [
        {"out": f"batch/{n}", "n": n} for n in range(3)
    ]
    assert [r.extra_env_vars["ID"] for r in read] == ["run-0", "run-1", "run-2"]
    assert [r.correlation_id for r in read] == ["trace:0", "trace:1", "trace:2"]
    assert batches.asked == 1


def test_a_single_run_is_read_as_its_first_pass_left_it() -> None:
    request = reader(Batches()).read("run", FLOW | {"parameters": {"rows": "{{ run.id }} {{ run.nothing }}"}})
    assert isinstance(request, LaunchRequest)
    assert request.parameters == {"rows": "{{ run.id }} {{ run.nothing }}"}


def test_a_container_s_command_is_filled_in() -> None:
    batch = Batches()
    batch._request = {"kind": "container", "org_id": "acme", "image": "job", "command": ["--part", "{{ run.shard }}"]}
    request = reader(batch).read("run", {}, "batch", 5)
    assert isinstance(request, ContainerRequest)
    assert request.command == ("--part", "5")


def test_a_shard_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(RequestInvalid, match="cpu"):
        reader(Batches()).read("run", {"cpu": 7, "memory": 7}, "batch", 0)
