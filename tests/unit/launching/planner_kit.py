"""What the tests of the planner share: short requests, and parts of the plans made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagy.contract import Env, RunSpec
from dagy_queue.launching.planner import Plan
from dagy_queue.requests import ContainerRequest, LaunchRequest
from tests.unit.launching.kit import container, variables

SPOT, GPUS = ([{"capacityProvider": name, "weight": 1, "base": 0}] for name in ("FARGATE_SPOT", "gpus"))


def flow(**fields: Any) -> LaunchRequest:
    return LaunchRequest(**{"org_id": "acme", "flow_name": "etl", "correlation_id": "trace", **fields})


def job(**fields: Any) -> ContainerRequest:
    return ContainerRequest(**{"org_id": "acme", "correlation_id": "trace", **fields})


def spec_of(plan: Plan) -> RunSpec:
    return RunSpec.from_json(variables(container(plan.parameters))[Env.RUN_SPEC])


def awsvpc(plan: Plan) -> Mapping[str, Any]:
    found: Mapping[str, Any] = plan.parameters["networkConfiguration"]["awsvpcConfiguration"]
    return found


def overridden(plan: Plan) -> Mapping[str, Any]:
    found: Mapping[str, Any] = plan.parameters["overrides"]
    return found
