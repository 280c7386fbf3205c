from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dagy_queue.errors import RequestInvalid
from dagy_queue.producer.building import builder_of
from dagy_queue.requests import ContainerRequest, LaunchRequest, RunRequest
from dagy_queue.settings import load_settings

FLOW: dict[str, Any] = {"flow_name": "etl", "org_id": "acme"}
PROFILES = {
    "etl:large": {"flow_name": "etl", "flow_version": "1.0.0", "workload_profile": "xlarge", "deployment_name": "prod"},
    "job": {"image": "job:1", "command": ["a"]},
}
ENVIRONMENTS = {
    "develop": {"workload_profile": "small", "extra_env_vars": {"STAGE": "dev", "LEVEL": "debug"}},
    "production": {"workload_profile": "large", "worker_image": "worker:prod", "subnets": ["subnet-prod"]},
}
TEMPLATE = {"family": "job", "containerDefinitions": [{"name": "main", "image": "job:1"}]}


def build(fields: dict[str, Any], request: RunRequest | None = None, **levels: Any) -> RunRequest:
    config = levels.pop("config", load_settings())
    return builder_of(config, **{"profiles": PROFILES, "environments": ENVIRONMENTS, **levels}).build(request, fields)


def problems(fields: dict[str, Any], **levels: Any) -> dict[str, str]:
    with pytest.raises(RequestInvalid) as caught:
        build(fields, **levels)
    return {problem.field: problem.allowed for problem in caught.value.problems}


def test_a_profile_is_a_name_for_fields() -> None:
    assert build({"org_id": "acme", "profile": "etl:large"}) == LaunchRequest(
        org_id="acme", profile="etl:large", **PROFILES["etl:large"]
    )


def test_a_profile_may_be_a_container() -> None:
    assert build({"org_id": "acme", "profile": "job"}) == ContainerRequest(
        org_id="acme", profile="job", image="job:1", command=("a",)
    )


def test_fields_win_over_their_profile() -> None:
    request = build({"org_id": "acme", "profile": "etl:large", "flow_version": "2", "cpu": 1024, "memory": 2048})
    assert (request.size, getattr(request, "flow_version", "")) == ((1024, 2048), "2")


def test_a_profile_that_there_is_not_is_named_with_those_there_are() -> None:
    assert problems({**FLOW, "profile": "etl:huge"}) == {"profile": "one of the execution profiles: etl:large, job"}


def test_where_there_are_no_profiles_the_message_says_how_to_make_them() -> None:
    assert "profiles=" in problems({**FLOW, "profile": "x"}, profiles={})["profile"]


def test_an_environment_has_defaults() -> None:
    request = build({**FLOW, "environment": "production"})
    assert (request.workload_profile, request.subnets, request.own_image) == ("large", ("subnet-prod",), "worker:prod")


def test_a_profile_wins_over_its_environment() -> None:
    assert build({"org_id": "acme", "profile": "etl:large", "environment": "develop"}).workload_profile == "xlarge"


def test_a_profile_may_name_its_environment() -> None:
    profiles = {"dev": {**FLOW, "environment": "develop"}}
    assert build({"profile": "dev"}, profiles=profiles).workload_profile == "small"


def test_variables_of_all_levels_are_merged() -> None:
    request = build({**FLOW, "environment": "develop", "extra_env_vars": {"LEVEL": "info"}})
    assert request.extra_env_vars == {"STAGE": "dev", "LEVEL": "info"}


def test_what_only_flows_have_is_left_out_of_a_containers_defaults() -> None:
    request = build({"org_id": "acme", "image": "job:1", "environment": "production"})
    assert request == ContainerRequest(
        org_id="acme", image="job:1", environment="production", workload_profile="large", subnets=("subnet-prod",)
    )


def test_an_environment_that_is_not_configured_is_refused_where_some_are() -> None:
    assert problems({**FLOW, "environment": "prod"}) == {
        "environment": "one of the configured environments: develop, production"
    }


def test_where_none_are_configured_an_environment_is_any_name() -> None:
    assert build({**FLOW, "environment": "prod"}, environments={}).environment == "prod"


def test_what_a_launcher_was_told_is_the_lowest_level() -> None:
    told = {"subnets": ["subnet-own"], "log_group": "/mine"}
    request = build({**FLOW, "environment": "production"}, defaults=told)
    assert (request.subnets, request.log_group) == (("subnet-prod",), "/mine")


def test_profiles_of_the_settings_and_of_the_code_are_both_known() -> None:
    config = load_settings(profiles={"mine": FLOW})
    assert build({"profile": "mine"}, config=config).label == "etl@latest"
    assert build({"org_id": "acme", "profile": "job"}, config=config).label == "job:1"


@pytest.mark.parametrize(
    ("levels", "field"),
    [
        ({"profiles": {"a": {"workload_profil": "small"}}}, "profiles.a.workload_profil"),
        ({"environments": {"b": {"subnet": ["s"]}}}, "environments.b.subnet"),
        ({"profiles": {"a": 1}}, "profiles.a"),
    ],
)
def test_fields_that_no_request_has_are_refused_when_the_launcher_is_made(levels: Any, field: str) -> None:
    assert field in problems(FLOW, **levels)


def test_the_nearest_field_is_suggested() -> None:
    found = problems(FLOW, profiles={"a": {"workload_profil": "small"}})
    assert found["profiles.a.workload_profil"] == "no such field; did you mean workload_profile?"


def test_a_template_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps(TEMPLATE))
    request = build({"org_id": "acme", "task_definition_template": str(path)})
    assert request.task_definition_template == TEMPLATE


def test_a_template_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    assert "No such file" in problems({"org_id": "a", "task_definition_template": path})["task_definition_template"]
    path.write_text("{")
    assert "a JSON file" in problems({"org_id": "a", "task_definition_template": path})["task_definition_template"]


def test_a_container_needs_something_to_run() -> None:
    assert "an image" in problems({"org_id": "acme", "command": ["ls"]})["image"]


@pytest.mark.parametrize(
    "ecs",
    [
        {"task_definition": "job:3"},
        {"task_definition_template": "job.json"},
        {"run_task_kwargs": {"taskDefinition": "j"}},
    ],
)
def test_the_settings_may_say_what_to_run(ecs: dict[str, Any]) -> None:
    request = build({"org_id": "acme", "command": ["ls"]}, config=load_settings(ecs=ecs))
    assert request == ContainerRequest(org_id="acme", command=("ls",))


def test_a_run_larger_than_the_clusters_limits_is_not_published() -> None:
    config = load_settings(ecs={"max_cpu": 1024, "max_memory": 4096})
    found = problems({**FLOW, "workload_profile": "xlarge"}, config=config)
    assert found["cpu"].startswith("at most 1024")
    assert found["memory"].startswith("at most 4096")


def test_a_request_without_anything_to_add_stays_what_it_is() -> None:
    request = LaunchRequest(**FLOW)
    assert build({}, request) is request


def test_a_request_keeps_what_it_says_itself_over_its_profile() -> None:
    request = LaunchRequest(**FLOW, profile="etl:large", deployment_name="own")
    built = build({}, request)
    assert (built.deployment_name, built.workload_profile) == ("own", "xlarge")


def test_what_is_no_request_is_refused() -> None:
    with pytest.raises(RequestInvalid):
        builder_of(load_settings()).build(7, {})  # type: ignore[arg-type]


def test_a_levels_misspelt_secrets_are_not_shown() -> None:
    with pytest.raises(RequestInvalid) as caught:
        build(FLOW, profiles={"p": {"secret_envs": {"PW": "hunter2"}, "extra_env": {"PW": "hunter2"}}})
    assert "hunter2" not in str(caught.value)


def test_levels_do_not_name_one_another() -> None:
    assert "profiles.a.profile" in problems(FLOW, profiles={"a": {"profile": "b"}, "b": FLOW})
