from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from dagy_queue.errors import SettingsInvalid
from dagy_queue.settings import Settings, read_settings

SAMPLE = """
    [redis]
    url = "redis://file"
    [ecs]
    subnets = ["subnet-1", "subnet-2"]
    capacity_provider_strategy = [{ capacityProvider = "FARGATE_SPOT", weight = 3 }]
    max_cpu = 4096
    [dispatch]
    start_timeout = "2h15m30s"
    visibility_timeout = "2m"
    [profiles."etl_pipeline:large_dataset"]
    cpu = 4096
    memory = 16384
    [environments.production]
    launch_type = "FARGATE"
"""


def write(path: Path, text: str) -> Path:
    path.write_text(textwrap.dedent(text))
    return path


def read(directory: Path, **environ: str) -> Settings:
    return read_settings(environ, directory, {}).settings


def problem(directory: Path, **environ: str) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        read(directory, **environ)
    return str(caught.value)


def test_without_a_file_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert read(tmp_path) == Settings()


def test_the_tables_of_the_file_are_the_sections(tmp_path: Path) -> None:
    write(tmp_path / "dagy-queue.toml", SAMPLE)
    found = read(tmp_path)
    assert found.redis.url == "redis://file"
    assert found.ecs.subnets == ("subnet-1", "subnet-2")
    assert found.ecs.capacity_provider_strategy[0].weight == 3
    assert found.ecs.max_cpu == 4096
    assert found.dispatch.start_timeout == 2 * 3600 + 15 * 60 + 30
    assert found.dispatch.visibility_timeout == 120
    assert found.profiles == {"etl_pipeline:large_dataset": {"cpu": 4096, "memory": 16384}}
    assert found.environments == {"production": {"launch_type": "FARGATE"}}


def test_a_file_may_have_another_name_and_then_replaces_the_usual_one(tmp_path: Path) -> None:
    write(tmp_path / "dagy-queue.toml", '[redis]\nurl = "redis://usual"\nprefix = "usual"')
    other = write(tmp_path / "other.toml", '[redis]\nurl = "redis://other"')
    for name in ("other.toml", str(other)):
        redis = read(tmp_path, DAGY_QUEUE_CONFIG=name).redis
        assert (redis.url, redis.prefix) == ("redis://other", "dagy")


def test_an_empty_name_counts_as_none(tmp_path: Path) -> None:
    write(tmp_path / "dagy-queue.toml", '[redis]\nprefix = "mine"')
    assert read(tmp_path, DAGY_QUEUE_CONFIG="").redis.prefix == "mine"


def test_a_templates_path_starts_where_the_file_is(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    write(tmp_path / "etc" / "settings.toml", '[ecs]\ntask_definition_template = "task.json"')
    found = read(tmp_path, DAGY_QUEUE_CONFIG="etc/settings.toml").ecs.task_definition_template
    assert found == str(tmp_path / "etc" / "task.json")


def test_a_named_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    assert problem(tmp_path, DAGY_QUEUE_CONFIG="no.toml") == (
        "the settings file no.toml (named by DAGY_QUEUE_CONFIG) cannot be read: No such file or directory"
    )


@pytest.mark.parametrize("content", [b"[redis", b"\xff\xfe", b"redis.url = ", b"x = " + b"[" * 5000])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dagy-queue.toml").write_bytes(content)
    assert problem(tmp_path).startswith("the settings file dagy-queue.toml is not TOML: ")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "dagy-queue.toml").mkdir()
    assert "dagy-queue.toml cannot be read: Is a directory" in problem(tmp_path)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[redsi]\nurl = 'redis://x'", ["redsi (file dagy-queue.toml)", "did you mean redis?"]),
        ("[ecs]\nclustr = 'x'", ["ecs.clustr (file dagy-queue.toml)", "did you mean cluster?"]),
        ("[celery]\nxyzzy = 1", ["celery.xyzzy", "there are default_queue"]),
        ("redis = 5", ["redis (file dagy-queue.toml) = 5: a section"]),
        ("[ecs]\ncluster = 5", ["ecs.cluster (file dagy-queue.toml) = 5"]),
        ("profiles = 'x'", ["profiles (file dagy-queue.toml) = 'x'"]),
        ("[profiles]\nbig = 3", ["profiles.big (file dagy-queue.toml) = '(hidden)'"]),
    ],
)
def test_what_no_setting_is_called_or_can_be_is_refused(tmp_path: Path, text: str, parts: list[str]) -> None:
    write(tmp_path / "dagy-queue.toml", text)
    said = problem(tmp_path)
    assert [part for part in parts if part not in said] == [], said


def test_a_file_and_an_environment_are_judged_together(tmp_path: Path) -> None:
    write(tmp_path / "dagy-queue.toml", "[ecs]\nclustr = 'x'")
    said = problem(tmp_path, DAGY_QUEUE__BRIDGE__WAIT_SECONDS="-1", DAGY_QUEUE__ECS__FAMLY="x")
    assert all(part in said for part in ("ecs.clustr", "ecs.famly", "bridge.wait_seconds")), said


def test_values_of_the_file_are_checked_only_where_they_count(tmp_path: Path) -> None:
    write(tmp_path / "dagy-queue.toml", "[redis]\nurl = 'nonsense'")
    overruled: Any = {"DAGY_REDIS_URL": "redis://right"}
    assert read(tmp_path, **overruled).redis.url == "redis://right"
