from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from moto.events.models import EventPattern

from dagy_queue.aws.event_rule import event_pattern
from dagy_queue.ids import AttemptId
from tests.unit.kit import CLUSTER_ARN, event, stopped_event
from tests.unit.strategies import attempt_ids, unhurried

PATTERN = EventPattern.load(json.dumps(event_pattern(CLUSTER_ARN)))


def matches(value: dict[str, Any]) -> bool:
    return PATTERN.matches_event(value)


@unhurried
@given(attempt_ids)
def test_the_rule_lets_every_event_of_ours_through(attempt_id: AttemptId) -> None:
    assert matches(event(attempt_id.run_id, attempt_id.attempt))
    assert matches(stopped_event(attempt_id.run_id, attempt_id.attempt))


@pytest.mark.parametrize(
    "value",
    [
        event(clusterArn=CLUSTER_ARN + "-other"),
        event(startedBy="ecs-svc/123"),
        event(startedBy="not/dagy/run/1"),
        event() | {"source": "my.ecs"},
        event() | {"detail-type": "ECS Container Instance State Change"},
    ],
)
def test_the_rule_lets_nothing_else_through(value: dict[str, Any]) -> None:
    assert not matches(value)


def test_an_event_without_started_by_is_not_ours() -> None:
    value = event()
    del value["detail"]["startedBy"]
    assert not matches(value)
