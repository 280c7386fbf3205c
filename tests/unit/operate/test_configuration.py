from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dagy_queue.errors import SettingsInvalid
from dagy_queue.operate import cli
from dagy_queue.operate.configuration import as_json, as_lines
from dagy_queue.settings import Origin, Settings, load_settings

ORIGINS = [
    Origin("redis", "url", "redis://x", "env DAGY_REDIS_URL"),
    Origin("ecs", "subnets", ["a", "b"], "file dagy-queue.toml"),
    Origin("profiles", "etl:large", {"cpu": 4096}, "code"),
    Origin("environments", "", {}, "default"),
]


def config(*options: str) -> str:
    answer = CliRunner().invoke(cli.app, ["config", *options], catch_exceptions=False)
    assert answer.exit_code == 0
    return answer.output


def test_a_line_is_a_setting_and_its_value() -> None:
    assert list(as_lines(ORIGINS, show_origin=False)) == [
        'redis.url = "redis://x"',
        'ecs.subnets = ["a", "b"]',
        'profiles.etl:large = {"cpu": 4096}',
        "environments = {}",
    ]


def test_origins_follow_the_values() -> None:
    lines = list(as_lines(ORIGINS, show_origin=True))
    assert lines[0] == 'redis.url = "redis://x"  # env DAGY_REDIS_URL'
    assert lines[3] == "environments = {}  # default"


def test_json_has_the_sections_as_objects() -> None:
    assert json.loads(as_json(ORIGINS, show_origin=False)) == {
        "redis": {"url": "redis://x"},
        "ecs": {"subnets": ["a", "b"]},
        "profiles": {"etl:large": {"cpu": 4096}},
        "environments": {},
    }


def test_json_with_origins_has_both() -> None:
    found = json.loads(as_json(ORIGINS, show_origin=True))
    assert found["redis"]["url"] == {"value": "redis://x", "origin": "env DAGY_REDIS_URL"}
    assert found["environments"] == {"value": {}, "origin": "default"}


def test_every_setting_is_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(**json.loads(config("--json"))) == Settings()
    assert len(config().splitlines()) == sum(len(section) or 1 for section in json.loads(config("--json")).values())


def test_file_and_environment_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dagy-queue.toml").write_text('[redis]\nurl = "redis://:secret@host/0"\n')
    monkeypatch.setenv("DAGY_ECS_CLUSTER_ARN", "mine")
    lines = config("--show-origin").splitlines()
    assert lines[0] == 'redis.url = "redis://:***@host/0"  # file dagy-queue.toml'
    assert 'ecs.cluster = "mine"  # env DAGY_ECS_CLUSTER_ARN' in lines


def test_settings_that_cannot_be_used_are_one_message_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "dagy-queue.toml").write_text("[ecs]\nclustr = 'x'\n")
    command = [Path(sys.executable).parent / "dagy-queue", "config"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("dagy-queue: settings cannot be used:\n  - ecs.clustr (file dagy-queue.toml)")


def test_the_version_is_shown() -> None:
    assert CliRunner().invoke(cli.app, ["--version"]).output == "dagy-queue 0.1.0\n"


def test_an_error_of_settings_is_raised_to_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGY_QUEUE__REDIS__URL", "nonsense")
    with pytest.raises(SettingsInvalid):
        config()
