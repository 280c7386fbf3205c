"""What the tests of the launcher share: one that knows flows, and what ECS answers to it."""

from __future__ import annotations

from dagy_queue.dispatch.launcher import Launcher
from dagy_queue.dispatch.services import Services
from dagy_queue.launching.flows import FlowResolver
from dagy_queue.ledger import RunEntry
from dagy_queue.outcomes import Outcome
from tests.unit.dispatch.conftest import ScriptedAws
from tests.unit.kit import TASK_ARN
from tests.unit.launching.kit import deployments, find_flow

DEFINITION_ARN = "arn:aws:ecs:us-east-1:123456789012:task-definition/dagy-worker-x:1"
FLOW = {"kind": "flow", "flow_name": "etl", "org_id": "acme", "correlation_id": "trace"}


def launcher_of(services: Services) -> Launcher:
    launcher = Launcher(services)
    launcher._planner._flows = FlowResolver(10, find_flow)
    launcher._planner._deployments = deployments()
    return launcher


def knows_definition(aws: ScriptedAws) -> None:
    aws.control_stub.add_response("describe_task_definition", {"taskDefinition": {"taskDefinitionArn": DEFINITION_ARN}})


def accepts(aws: ScriptedAws) -> None:
    aws.ecs_stub.add_response("run_task", {"tasks": [{"taskArn": TASK_ARN}], "failures": []})


def outcome(entry: RunEntry) -> Outcome:
    assert entry.completion is not None
    return Outcome.from_dict(entry.completion["outcome"])
