"""What the tests of docs/launch-options.md share: launches as the page asks for them, and facts of what ECS got."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dagy_queue import DagLauncher, DagLaunchResult
from dagy_queue.settings import load_settings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "launch-options.md"
LAUNCHING = ROOT / "docs" / "launching.md"
LEVELS = [line for line in PAGE.read_text().splitlines() if re.match(r"\| \*\*\d", line)]
ORG = "acme-corp"
STUB = "dagy-local/stub"
BASELINE = {
    "family": "baseline",
    "requiresCompatibilities": ["FARGATE"],
    "networkMode": "awsvpc",
    "cpu": "1024",
    "memory": "2048",
    "containerDefinitions": [
        {"name": name, "image": STUB, "essential": name == "main"} for name in ("main", "myEcsContainer")
    ],
}
NAMES_A_CONTAINER = frozenset({"kind", "image", "command", "task_definition", "task_definition_template"})


@dataclass(frozen=True)
class Asked:
    """What a row's second column says."""

    settings: dict[str, str]
    launcher: dict[str, Any]
    fields: dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One call of RunTask."""

    region: str
    access_key: str
    parameters: dict[str, Any]


def launched(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> DagLaunchResult:
    for name, value in asked.settings.items():
        monkeypatch.setenv(name, value)
    fields = {"org_id": ORG, **asked.fields}
    profile = (asked.launcher.get("profiles") or {}).get(fields.get("profile"), {})
    if not {*fields, *profile} & NAMES_A_CONTAINER:
        fields.setdefault("flow_name", "etl_pipeline")
    return DagLauncher(load_settings(), mode="direct", **asked.launcher).launch(**fields)


def facts_of(result: DagLaunchResult, calls: list[Call], ecs: Any) -> dict[str, Any]:
    """Return what the expressions of the page can use."""
    if not result.success:
        return {"result": result, "refused": result.error_message or ""}
    (call,) = calls
    parameters = call.parameters
    definition = ecs.describe_task_definition(taskDefinition=parameters["taskDefinition"])["taskDefinition"]
    overrides = parameters["overrides"]
    worker, *others = overrides["containerOverrides"]
    container = next(c for c in definition["containerDefinitions"] if c["name"] == worker["name"])
    listed = [*container.get("environment", ()), *worker["environment"]]
    env = {variable["name"]: variable["value"] for variable in listed}
    (task,) = ecs.describe_tasks(cluster=parameters["cluster"], tasks=[result.task_arn or "none"])["tasks"]
    return {
        "result": result,
        "refused": "",
        "region": call.region,
        "signed_by": call.access_key,
        "run_task": parameters,
        "overrides": overrides,
        "worker": worker,
        "others": others,
        "definition": definition,
        "container": container,
        "env": env,
        "spec": json.loads(env.get("DAGY_RUN_SPEC", "{}")),
        "tags": {tag["key"]: tag["value"] for tag in parameters["tags"]},
        "vpc": parameters.get("networkConfiguration", {}).get("awsvpcConfiguration", {}),
        "log": container.get("logConfiguration", {}).get("options", {}),
        "task": task,
    }


def is_true(expression: str, facts: dict[str, Any]) -> bool:
    return bool(eval(expression, {"__builtins__": {"len": len}}, facts))  # noqa: S307 - the page is ours
