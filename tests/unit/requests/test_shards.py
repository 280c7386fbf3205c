from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.producer.canvas import to_json
from dagy_queue.requests import ContainerRequest, LaunchRequest, read_request
from dagy_queue.requests.shards import number_of, shard_request
from tests.unit.strategies import any_requests, json_objects, launch_requests, unhurried

BASE = {"kind": "flow", "flow_name": "f", "org_id": "acme", "correlation_id": "trace"}
indexes = st.integers(0, 100_000)


def test_parameters_are_merged_key_by_key() -> None:
    base = BASE | {"parameters": {"a": 1, "b": 1}}
    assert shard_request(base, {"parameters": {"b": 2, "c": 2}}, 0)["parameters"] == {"a": 1, "b": 2, "c": 2}


def test_environment_and_metadata_are_merged_key_by_key() -> None:
    base = BASE | {"extra_env_vars": {"A": "1"}, "metadata": {"x": 1}}
    shard = shard_request(base, {"extra_env_vars": {"B": "2"}, "metadata": {"x": 2}}, 0)
    assert (shard["extra_env_vars"], shard["metadata"]) == ({"A": "1", "B": "2"}, {"x": 2})


def test_other_fields_are_replaced() -> None:
    assert shard_request(BASE | {"priority": 1}, {"priority": 2}, 0)["priority"] == 2


def test_a_shards_correlation_id_is_its_batchs_and_its_index() -> None:
    assert shard_request(BASE, {}, 12)["correlation_id"] == "trace:12"


def test_a_shard_may_have_a_correlation_id_of_its_own() -> None:
    assert shard_request(BASE, {"correlation_id": "mine"}, 12)["correlation_id"] == "mine"


def test_the_batchs_request_is_left_as_it_is() -> None:
    base: dict[str, Any] = BASE | {"parameters": {"a": 1}}
    shard_request(base, {"parameters": {"a": 2}}, 0)
    assert base["parameters"] == {"a": 1}
    assert base["correlation_id"] == "trace"


@unhurried
@given(launch_requests().filter(lambda r: len(r.correlation_id) < 190), json_objects, indexes)
def test_a_shard_differs_from_its_batch_only_in_what_it_says(
    request: LaunchRequest, parameters: dict[str, Any], index: int
) -> None:
    base = to_json(request) | {"correlation_id": request.correlation_id or "trace"}
    shard = read_request(shard_request(base, {"parameters": parameters} if parameters else {}, index))
    expected = request.model_copy(
        update={
            "parameters": {**request.parameters, **parameters},
            "correlation_id": f"{request.correlation_id or 'trace'}:{index}",
        }
    )
    assert shard == expected


@unhurried
@given(any_requests, indexes)
def test_every_acceptable_request_has_acceptable_shards(request: LaunchRequest | ContainerRequest, index: int) -> None:
    base = to_json(request) | {"correlation_id": request.correlation_id or "trace"}
    assert read_request(shard_request(base, {}, index)).org_id == request.org_id


def test_a_batch_with_the_longest_correlation_id_has_acceptable_shards() -> None:
    request = LaunchRequest(flow_name="f", org_id="acme", correlation_id="c" * 200)
    assert read_request(shard_request(to_json(request), {}, 99_999)).correlation_id.endswith(":99999")


def test_a_shard_that_is_tried_again_keeps_its_number() -> None:
    delta = {"correlation_id": "trace:7", "number": 7, "parameters": {"a": 1}}
    assert number_of(delta, 0) == 7
    assert number_of({}, 3) == 3
    assert "number" not in shard_request(BASE, delta, 0)
