from __future__ import annotations

import json
from typing import Any

import pytest
from celery.signals import before_task_publish
from hypothesis import given

from dagy_queue.errors import RequestInvalid
from dagy_queue.messaging.names import LAUNCH_QUEUE, LAUNCH_TASK
from dagy_queue.producer.building import builder_of
from dagy_queue.producer.canvas import launch_sig, to_json
from dagy_queue.requests import ContainerRequest, LaunchRequest, read_request
from dagy_queue.settings import load_settings
from tests.unit.strategies import any_requests, unhurried

FLOW: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"}

build = builder_of(load_settings()).build


@unhurried
@given(any_requests)
def test_a_signature_carries_its_request(request: LaunchRequest | ContainerRequest) -> None:
    signature = launch_sig(request)
    carried = json.loads(json.dumps(signature, allow_nan=False))
    assert read_request(carried["kwargs"]["request"]) == request


def test_a_signature_is_a_launch() -> None:
    signature = launch_sig(**FLOW)
    assert (signature.task, signature.options["queue"], signature.args) == (LAUNCH_TASK, LAUNCH_QUEUE, ())


def test_the_result_of_the_task_before_is_not_passed_on() -> None:
    assert launch_sig(**FLOW).immutable


def test_a_parameter_may_receive_the_result_of_the_task_before() -> None:
    signature = launch_sig(**FLOW, receives="rows")
    assert not signature.immutable
    assert signature.kwargs["receives"] == "rows"


@pytest.mark.parametrize("receives", [3, 0, True, "", b"rows", ["rows"], {"rows": 1}, "\ud800"])
def test_what_names_no_parameter_cannot_receive_a_result(receives: Any) -> None:
    with pytest.raises(RequestInvalid) as caught:
        launch_sig(**FLOW, receives=receives)
    (problem,) = caught.value.problems
    assert (problem.field, problem.value) == ("receives", receives)


def test_it_is_said_what_may_receive_a_result() -> None:
    with pytest.raises(RequestInvalid, match=r"receives = \['rows'\]: the name of the parameter .* that is not empty"):
        launch_sig(**FLOW, receives=["rows"])  # type: ignore[arg-type]


def test_a_launch_may_receive_nothing() -> None:
    nothing, dropped = launch_sig(**FLOW, receives=None), launch_sig(**FLOW, receives=False)  # type: ignore[arg-type]
    assert (nothing.immutable, "receives" in nothing.kwargs) == (True, False)
    assert (dropped.immutable, dropped.kwargs["receives"]) == (False, False)


def test_a_container_has_no_parameter_to_receive_anything() -> None:
    with pytest.raises(RequestInvalid):
        launch_sig(image="job:1", org_id="acme", receives="rows")


def test_fields_with_an_image_are_a_container() -> None:
    assert isinstance(build(None, {"image": "job:1", "org_id": "acme"}), ContainerRequest)


def test_fields_without_an_image_are_a_flow() -> None:
    assert isinstance(build(None, dict(FLOW)), LaunchRequest)


def test_a_request_stays_what_it_is() -> None:
    request = LaunchRequest(**FLOW)
    assert build(request, {}) is request


def test_fields_beside_a_request_replace_its_own() -> None:
    request = LaunchRequest(**FLOW, priority=1, parameters={"a": 1})
    assert build(request, {"priority": 2}) == LaunchRequest(**FLOW, priority=2, parameters={"a": 1})


def test_fields_beside_a_container_replace_its_own() -> None:
    request = ContainerRequest(image="job:1", org_id="acme", command=("a",))
    assert build(request, {"image": "job:2"}) == ContainerRequest(image="job:2", org_id="acme", command=("a",))


@pytest.mark.parametrize("fields", [{}, {"flow_name": "etl"}, FLOW | {"nonsense": 1}, FLOW | {"cpu": 1}])
def test_what_cannot_be_launched_has_no_signature(fields: dict[str, Any]) -> None:
    with pytest.raises(RequestInvalid):
        launch_sig(**fields)


def test_wrong_fields_beside_a_request_are_refused() -> None:
    with pytest.raises(RequestInvalid):
        launch_sig(LaunchRequest(**FLOW), nonsense=1)


def test_the_json_of_a_request_says_its_kind() -> None:
    assert to_json(LaunchRequest(**FLOW)) == {"kind": "flow", **FLOW}
    assert to_json(ContainerRequest(image="job:1", org_id="acme"))["kind"] == "container"


def test_a_process_that_makes_signatures_enters_what_it_publishes() -> None:
    before = len(before_task_publish.receivers)
    launch_sig(**FLOW)
    launch_sig(**FLOW)
    assert len(before_task_publish.receivers) == before + 1
