"""The sample of docs/configuration.md is a settings file that every process takes."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from dagy_queue.dispatch.findings import settings_findings
from dagy_queue.settings import Settings, origins, read_settings
from tests.docs.snippets import BIN, ROOT, blocks

PAGE = ROOT / "docs" / "configuration.md"


def block(language: str, containing: str) -> str:
    (one,) = [text for text in blocks(PAGE, language) if containing in text]
    return one


def variables() -> dict[str, str]:
    words = shlex.split(block("bash", "export"))
    return dict(word.split("=", 1) for word in words if word != "export")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "dagy-queue.toml").write_text(block("toml", "[redis]"))
    return tmp_path


def test_the_sample_is_loaded(directory: Path) -> None:
    found = read_settings({}, directory, {}).settings
    assert found.aws.region == "eu-central-1"
    assert found.ecs.subnets == ("subnet-12345678", "subnet-87654321")
    assert [item.weight for item in found.ecs.capacity_provider_strategy] == [3, 1]
    assert (found.ecs.max_cpu, found.ecs.max_memory, found.ecs.max_task_count) == (4096, 16384, 1000)
    assert found.dispatch.start_timeout == 8130
    assert list(found.profiles) == ["etl_pipeline:large_dataset"]
    assert found.environments == {"production": {"max_retries": 2}}


def test_a_dispatcher_finds_nothing_wrong_with_the_sample(directory: Path) -> None:
    assert list(settings_findings(read_settings({}, directory, {}).settings)) == []


def test_the_variables_win_over_the_sample(directory: Path) -> None:
    found = read_settings(variables(), directory, {})
    where = {one.setting: (one.value, one.origin) for one in origins(found.settings, found.given)}
    assert where["redis.url"] == ("redis://:***@redis.internal:6379/0", "env DAGY_REDIS_URL")
    assert where["ecs.tags"][1] == "env DAGY_QUEUE__ECS__TAGS"
    assert where["aws.region"] == ("eu-central-1", "file dagy-queue.toml")
    assert list(found.settings.profiles) == ["etl_pipeline:large_dataset", "etl_pipeline:quick"]
    assert found.settings != Settings()


def test_the_command_prints_where_each_setting_is_from(directory: Path) -> None:
    words = shlex.split(block("bash", "--show-origin"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DAGY_"))}
    program = str(BIN / words[0])
    done = subprocess.run(
        [program, *words[1:]], cwd=directory, env=inherited | variables(), capture_output=True, text=True, check=True
    )
    assert 'redis.url = "redis://:***@redis.internal:6379/0"  # env DAGY_REDIS_URL\n' in done.stdout
    assert 'aws.region = "eu-central-1"  # file dagy-queue.toml\n' in done.stdout
