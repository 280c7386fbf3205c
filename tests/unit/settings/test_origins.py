from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dagy_queue.settings import Settings, origins, read_settings
from dagy_queue.settings.layers import every_path
from dagy_queue.settings.secrets import without_secrets

NOWHERE = Path("/nonexistent")


def found(environ: dict[str, str], **sections: Any) -> dict[str, tuple[Any, str]]:
    read = read_settings(environ, NOWHERE, sections)
    return {one.setting: (one.value, one.origin) for one in origins(read.settings, read.given)}


def test_every_setting_is_listed_once_and_in_order() -> None:
    assert list(found({})) == [str(path) for path in every_path()]
    assert {origin for _, origin in found({}).values()} == {"default"}


def test_what_is_given_names_who_gave_it() -> None:
    environ = {"DAGY_REDIS_URL": "redis://flat", "dagy_queue__ecs__family": "mine", "DAGY_QUEUE__ECS__FAMILY": "ours"}
    seen = found(environ | {"DAGY_QUEUE__ENVIRONMENTS": '{"production": {"cpu": 256}}'}, aws={"region": "eu-west-1"})
    assert seen["redis.url"] == ("redis://flat", "env DAGY_REDIS_URL")
    assert seen["aws.region"] == ("eu-west-1", "code")
    assert seen["environments.production"] == ({"cpu": 256}, "env DAGY_QUEUE__ENVIRONMENTS")
    assert seen["profiles"] == ({}, "default")
    assert seen["ecs.family"][0] in ("mine", "ours")


def test_a_value_equal_to_the_default_still_names_who_gave_it() -> None:
    assert found({}, redis={"url": Settings().redis.url})["redis.url"][1] == "code"


def test_values_are_shown_in_json_terms_and_ecs_spelling() -> None:
    strategy = '[{"capacityProvider": "FARGATE_SPOT", "weight": 1}]'
    seen = found({"DAGY_QUEUE__ECS__CAPACITY_PROVIDER_STRATEGY": strategy})
    assert seen["ecs.capacity_provider_strategy"][0] == [{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 0}]
    assert seen["ecs.subnets"][0] == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host/0", "redis://host/0"),
        ("redis://:secret@host/0", "redis://:***@host/0"),
        ("rediss://user:secret@host:6380/0", "rediss://user:***@host:6380/0"),
        ("redis://user:se@cr/et@host/0", "redis://user:***@host/0"),
        ("unix:///run/redis.sock?db=0&password=secret&x=1", "unix:///run/redis.sock?db=0&password=***&x=1"),
        ("arn:aws:ecs:us-east-1:1:cluster/dagy", "arn:aws:ecs:us-east-1:1:cluster/dagy"),
    ],
)
def test_passwords_are_hidden_at_any_depth(url: str, shown: str) -> None:
    assert without_secrets({"a": [url, (url,)], "b": 1}) == {"a": [shown, (shown,)], "b": 1}


def test_no_setting_shows_its_password() -> None:
    seen = found({"DAGY_REDIS_URL": "redis://:secret@host/0"}, redis={"result_url": "redis://me:secret@host/1"})
    assert seen["redis.url"][0] == "redis://:***@host/0"
    assert "secret" not in str(seen)


def test_variables_of_containers_are_hidden_wherever_they_stand() -> None:
    shown = without_secrets(
        {
            "profiles": {"p": {"extra_env_vars": {"PW": "hunter2"}}},
            "ecs": {"container_overrides": [{"name": "w", "environment": [{"name": "PW", "value": "hunter2"}]}]},
        }
    )
    assert "hunter2" not in str(shown)
    assert shown["profiles"]["p"]["extra_env_vars"] == {"PW": "***"}
