from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.errors import RequestInvalid
from dagy_queue.requests import ContainerRequest, LaunchRequest, read_request
from dagy_queue.requests.retry_policy import over_policy
from dagy_queue.requests.retrying import RetryFields
from tests.unit.strategies import unhurried

POLICY = {"max_retries": 3, "oom_retries": 2, "grow_on_oom": True, "retry_on_exit_codes": [75], "retry_delay": 1.0}


def job(**fields: Any) -> ContainerRequest:
    return ContainerRequest(org_id="acme", image="job", **fields)


def test_a_request_takes_what_it_does_not_say_itself() -> None:
    found = over_policy(job(max_retries=1), POLICY)
    assert (found.max_retries, found.oom_retries, found.grow_on_oom) == (1, 2, True)
    assert (found.retry_on_exit_codes, found.spot_retries) == ((75,), 5)


@pytest.mark.parametrize(("field", "usual"), [("max_retries", 0), ("spot_retries", 5), ("grow_on_oom", False)])
def test_what_is_said_counts_though_it_is_what_would_be_without_it(field: str, usual: Any) -> None:
    level = {**POLICY, "spot_retries": 0}
    assert getattr(over_policy(job(**{field: usual}), level), field) == usual
    sent = read_request(job(**{field: usual}).in_json() | {"kind": "container"})
    assert getattr(over_policy(sent, level), field) == usual


def test_nothing_but_the_retry_policy_is_taken() -> None:
    request = job(cpu=256, memory=512)
    assert over_policy(request, {"cpu": 1024, "memory": 2048, "parameters": {"a": 1}}) is request


def test_a_flow_has_a_policy_as_a_container_has() -> None:
    found = over_policy(LaunchRequest(org_id="acme", flow_name="etl", parameters={"n": 1}), POLICY)
    assert isinstance(found, LaunchRequest)
    assert (found.max_retries, found.parameters) == (3, {"n": 1})


def test_a_policy_that_contradicts_the_request_is_refused() -> None:
    with pytest.raises(RequestInvalid, match="75"):
        over_policy(job(skip_on_exit_code=75), POLICY)


@unhurried
@given(
    st.dictionaries(st.sampled_from(["max_retries", "oom_retries", "start_retries"]), st.integers(0, 100)),
    st.dictionaries(st.sampled_from(["max_retries", "oom_retries", "start_retries"]), st.integers(0, 100)),
)
def test_every_field_is_of_the_highest_level_that_names_it(own: dict[str, int], level: dict[str, int]) -> None:
    found = over_policy(job(**own), level)
    usual = {name: field.default for name, field in RetryFields.model_fields.items()}
    expected = usual | level | own
    assert {name: getattr(found, name) for name in own | level} == {name: expected[name] for name in own | level}
