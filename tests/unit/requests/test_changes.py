from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.requests import ContainerRequest, read_request
from dagy_queue.requests.changes import Change
from tests.unit.strategies import any_requests, sizes, unhurried

SPOT = [{"capacityProvider": "FARGATE_SPOT", "weight": 3}, {"capacityProvider": "FARGATE", "weight": 1}]

changes = st.builds(
    lambda size, on_demand: Change(cpu=size and size[0], memory=size and size[1], on_demand=on_demand),
    st.none() | sizes,
    st.booleans(),
)


def container(**fields: Any) -> ContainerRequest:
    return ContainerRequest(org_id="acme", image="job:1", **fields)


@unhurried
@given(changes)
def test_a_change_comes_back_from_what_the_ledger_keeps(change: Change) -> None:
    assert Change.from_dict(change.to_dict()) == change


@unhurried
@given(changes, changes)
def test_a_later_change_counts_more_and_keeps_what_it_says_nothing_of(first: Change, later: Change) -> None:
    both = first | later
    assert both.on_demand == (first.on_demand or later.on_demand)
    assert (both.cpu, both.memory) == (
        (later if later.memory else first).cpu,
        (later if later.memory else first).memory,
    )


@unhurried
@given(any_requests, changes.filter(lambda change: not change.on_demand))
def test_a_grown_request_has_the_size_and_is_otherwise_as_it_was(request_: Any, change: Change) -> None:
    grown = change.apply(request_, on_spot=False)
    assert grown.size == ((change.cpu, change.memory) if change.memory else request_.size)
    same = {"cpu", "memory", "workload_profile", "container_overrides"}
    assert grown.model_dump(exclude=same) == request_.model_dump(exclude=same)


def test_a_size_wins_over_the_name_of_one() -> None:
    grown = Change(cpu=256, memory=1024).apply(container(workload_profile="small"), on_spot=False)
    assert (grown.size, grown.workload_profile) == ((256, 1024), None)
    assert read_request(grown.model_dump(mode="json")) == grown


@pytest.mark.parametrize("own", [{"capacity_provider_strategy": SPOT}, {}], ids=["its own", "the settings'"])
def test_on_demand_is_fargate_whoever_said_spot(own: dict[str, Any]) -> None:
    then = Change(on_demand=True).apply(container(**own), on_spot=True)
    assert (then.launch_type, then.capacity_provider_strategy) == ("FARGATE", ())
    assert read_request(then.model_dump(mode="json")) == then


def test_a_run_that_is_not_on_spot_stays_where_it_is() -> None:
    asked = container(launch_type="EC2")
    assert Change(on_demand=True).apply(asked, on_spot=False) is asked


def test_a_limit_of_the_working_container_grows_with_its_task() -> None:
    limits = [{"name": "main", "memory": 400}, {"name": "log", "memory": 64}, {"name": "idle"}]
    asked = container(cpu=256, memory=512, container_name="main", container_overrides=limits)
    grown = Change(cpu=256, memory=1024).apply(asked, on_spot=False)
    assert [override.memory for override in grown.container_overrides] == [400 + 512, 64, None]
    unnamed = container(cpu=256, memory=512, container_overrides=limits[:1])
    assert Change(cpu=256, memory=2048).apply(unnamed, on_spot=False).container_overrides[0].memory == 400 + 1536
