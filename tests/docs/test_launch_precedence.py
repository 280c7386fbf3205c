"""The levels of docs/launch-options.md, run: each wins over the one below."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dagy_queue.settings import load_settings
from tests.docs.launch_kit import BASELINE, LEVELS, STUB, Asked, Call, facts_of, is_true, launched


def text_of(level: str) -> dict[str, Any]:
    """Return container overrides that say where they are from."""
    return {"container_overrides": [{"name": "main", "environment": {"LEVEL": level}}]}


TEMPLATE = {**BASELINE, "cpu": "512", "memory": "1024", "executionRoleArn": "arn:aws:iam::1:role/template"}
SAYS_SETTINGS = {"DAGY_QUEUE__ECS__EXECUTION_ROLE_ARN": "arn:aws:iam::1:role/settings"}
ENVIRONMENT = {"environments": {"production": {"workload_profile": "small", **text_of("environment")}}}
PROFILE = {"profiles": {"mine": {"workload_profile": "medium", **text_of("profile")}}}
FROM_TEMPLATE = {"task_definition_template": TEMPLATE, "container_name": "main"}
DEPLOYED = {"deployment_name": "production", "environment": "production"}
KWARGS = {
    "overrides": {"containerOverrides": [{"name": "main", "environment": [{"name": "LEVEL", "value": "kwargs"}]}]}
}

PAIRS = {
    "settings_over_built_in": (
        Asked({"DAGY_QUEUE__ECS__CPU": "512", "DAGY_QUEUE__ECS__MEMORY": "1024"}, {}, {}),
        'definition["cpu"] == "512"',
    ),
    "template_over_settings": (
        Asked(SAYS_SETTINGS, {}, FROM_TEMPLATE),
        'definition["executionRoleArn"] == "arn:aws:iam::1:role/template"',
    ),
    "deployment_over_template": (
        Asked({}, {}, {**FROM_TEMPLATE, **DEPLOYED}),
        '(definition["cpu"], task["cpu"]) == ("512", "2048")',
    ),
    "environment_over_deployment": (
        Asked({}, ENVIRONMENT, {**FROM_TEMPLATE, **DEPLOYED}),
        '(overrides["cpu"], env["LEVEL"]) == ("256", "environment")',
    ),
    "profile_over_environment": (
        Asked({}, {**ENVIRONMENT, **PROFILE}, {**FROM_TEMPLATE, "environment": "production", "profile": "mine"}),
        '(overrides["cpu"], env["LEVEL"]) == ("1024", "profile")',
    ),
    "request_over_profile": (
        Asked({}, PROFILE, {**FROM_TEMPLATE, "profile": "mine", "cpu": 2048, "memory": 8192, **text_of("request")}),
        '(overrides["cpu"], overrides["memory"], env["LEVEL"]) == ("2048", "8192", "request")',
    ),
    "container_overrides_over_request": (
        Asked({}, {}, {**FROM_TEMPLATE, "extra_env_vars": {"LEVEL": "request"}, **text_of("override")}),
        'env["LEVEL"] == "override"',
    ),
    "run_task_kwargs_over_container_overrides": (
        Asked({}, {}, {**FROM_TEMPLATE, **text_of("override"), "run_task_kwargs": KWARGS}),
        'env["LEVEL"] == "kwargs"',
    ),
}


USUAL = json.dumps([{"name": "main", "environment": {"LEVEL": "usual"}}])


@pytest.mark.parametrize(
    ("setting", "level"),
    [
        ({"DAGY_QUEUE__ECS__CONTAINER_OVERRIDES": USUAL}, "usual"),
        ({"DAGY_QUEUE__ECS__RUN_TASK_KWARGS": json.dumps(KWARGS)}, "kwargs"),
    ],
)
def test_overrides_of_the_settings_win_over_fields_of_a_request(
    setting: dict[str, str], level: str, calls: list[Call], ecs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(setting, {}, {**FROM_TEMPLATE, "extra_env_vars": {"LEVEL": "request"}})
    assert is_true(f"env['LEVEL'] == '{level}'", facts_of(launched(asked, monkeypatch), calls, ecs))


@pytest.mark.parametrize("name", PAIRS)
def test_a_level_wins_over_the_one_below(
    name: str, calls: list[Call], ecs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, expression = PAIRS[name]
    facts = facts_of(launched(asked, monkeypatch), calls, ecs)
    assert is_true(expression, facts), facts


def test_each_level_of_the_page_names_its_test() -> None:
    assert [line.rpartition("| `")[2].rstrip("`| ") for line in LEVELS[1:]] == list(PAIRS)


def test_settings_come_from_the_file_then_variables_then_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dagy-queue.toml").write_text('[ecs]\nfamily = "file"\nlog_group = "file"\ncluster = "file"\n')
    monkeypatch.setenv("DAGY_QUEUE__ECS__LOG_GROUP", "variable")
    monkeypatch.setenv("DAGY_QUEUE__ECS__CLUSTER", "variable")
    ecs = load_settings(ecs={"cluster": "code"}).ecs
    assert (ecs.family, ecs.log_group, ecs.cluster) == ("file", "variable", "code")


@pytest.mark.parametrize(
    ("lower", "upper", "expression"),
    [
        ({"workload_profile": "small"}, {"cpu": 2048, "memory": 4096}, 'overrides["cpu"] == "2048"'),
        ({"cpu": 2048, "memory": 4096}, {"workload_profile": "small"}, 'overrides["cpu"] == "256"'),
        (
            {"launch_type": "EC2"},
            {"capacity_provider_strategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]},
            'task["capacityProviderName"] == "FARGATE_SPOT"',
        ),
        (
            {"capacity_provider_strategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]},
            {"launch_type": "EC2"},
            'task["launchType"] == "EC2"',
        ),
        ({"task_definition": "baseline"}, {"image": STUB}, 'definition["family"].startswith("dagy-worker-")'),
        ({"image": STUB}, {"task_definition": "baseline"}, 'definition["family"] == "baseline"'),
    ],
)
def test_two_ways_to_say_the_same_take_each_other_away(
    lower: Any, upper: Any, expression: str, calls: list[Call], ecs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked({}, {"profiles": {"lower": lower}}, {"profile": "lower", **upper})
    assert is_true(expression, facts_of(launched(asked, monkeypatch), calls, ecs))
