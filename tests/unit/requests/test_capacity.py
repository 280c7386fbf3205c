from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from dagy_queue.requests.capacity import MAX_BASE, MAX_WEIGHT, CapacityProvider, check_strategy, may_be_on_fargate

SPOT = {"capacityProvider": "FARGATE_SPOT", "weight": 3}
ON_DEMAND = {"capacityProvider": "FARGATE", "weight": 1, "base": 2}


def items(*values: dict[str, Any]) -> list[CapacityProvider]:
    return [CapacityProvider(**value) for value in values]


def test_a_provider_is_written_as_in_ecs_api() -> None:
    assert CapacityProvider(**SPOT).model_dump(by_alias=True) == SPOT | {"base": 0}
    assert CapacityProvider(capacity_provider="FARGATE_SPOT", weight=3) == CapacityProvider(**SPOT)


@pytest.mark.parametrize("values", [(), (SPOT,), (SPOT, ON_DEMAND), ({"capacityProvider": "mine"},)])
def test_strategies_that_ecs_takes_are_taken(values: tuple[dict[str, Any], ...]) -> None:
    check_strategy(items(*values))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([SPOT] * 21, "at most 20 capacity providers; 21 given"),
        ([ON_DEMAND, SPOT | {"base": 1}], "only one capacity provider can have a base; FARGATE_SPOT has one too"),
        ([SPOT | {"weight": 0}, {"capacityProvider": "FARGATE"}], "a weight that is left out is 0, as in ECS's API"),
        ([SPOT, {"capacityProvider": "my-instances", "weight": 1}], "ECS does not mix them"),
    ],
)
def test_a_strategy_that_ecs_refuses_is_refused_with_what_is_allowed(values: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(PydanticCustomError, match=why):
        check_strategy(items(*values))


@pytest.mark.parametrize("name", ["", "with space", "a" * 256, "FARGATE\n"])
def test_names_that_no_provider_has_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="FARGATE_SPOT or the name"):
        CapacityProvider(capacityProvider=name)


@given(st.integers(-10, 2 * MAX_WEIGHT), st.integers(-10, 2 * MAX_BASE))
def test_weight_and_base_have_ecs_limits(weight: int, base: int) -> None:
    fits = 0 <= weight <= MAX_WEIGHT and 0 <= base <= MAX_BASE
    try:
        CapacityProvider(capacityProvider="FARGATE", weight=weight, base=base)
    except ValidationError:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize(
    ("launch_type", "strategy", "may_be"),
    [
        (None, (), True),
        ("", (), True),
        ("FARGATE", (), True),
        ("EC2", (), False),
        ("EXTERNAL", (), False),
        (None, (SPOT, ON_DEMAND), True),
        (None, ({"capacityProvider": "gpus"},), False),
        (None, ({"capacityProvider": "FARGATE_OURS"},), False),
        ("EC2", (SPOT,), True),
        ("FARGATE", (SPOT, {"capacityProvider": "gpus"}), False),
    ],
)
def test_fargate_is_known_by_the_strategy_or_else_by_the_launch_type(
    launch_type: str | None, strategy: tuple[dict[str, Any], ...], may_be: bool
) -> None:
    assert may_be_on_fargate(launch_type, strategy) is may_be
