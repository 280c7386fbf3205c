"""What docs/images.md and docs/docker-compose.md show: commands run where no engine is needed, files are judged."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dagy_queue import ContainerRequest
from tests.docs.snippets import BIN, ROOT, blocks, run
from tests.integration.compose_kit import read_compose

IMAGES = ROOT / "docs" / "images.md"
COMPOSE = ROOT / "docs" / "docker-compose.md"
LOCAL = {"dagy-queue flow push greeting.py --org acme", "./scripts/demo --against compose.env", "source compose.env"}
"""What needs the services: tests/integration/test_compose.py does it."""


def test_the_commands_of_images_run_as_they_stand(tmp_path: Path) -> None:
    build, push, check, wheel = blocks(IMAGES, "bash")
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHON": sys.executable}
    assert "docker buildx build" in run(["bash", "-c", build], ROOT, environment)
    # The checkout of a developer has changes that are not committed; this says nothing of them.
    pushed = run(["bash", "-c", push.replace("--dry-run", "--dry-run --allow-dirty")], ROOT, environment)
    assert [line.split()[0] for line in pushed.splitlines()] == ["aws", "aws", "docker"]
    assert run(["bash", "-c", check], ROOT, environment) == ""
    (tmp_path / "worker_image").symlink_to(ROOT / "worker_image")
    run(["bash", "-c", wheel], tmp_path, environment)
    (made,) = (tmp_path / "dist").iterdir()
    assert made.name in blocks(IMAGES, "dockerfile")[1]


@pytest.mark.parametrize("number", [0, 1])
def test_the_dockerfiles_of_users_are_sound(number: int) -> None:
    text = blocks(IMAGES, "dockerfile")[number]
    done = subprocess.run([BIN / "hadolint", "-"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert "USER 10001:10001" in text


def test_the_locked_down_task_definition_can_be_registered() -> None:
    (text,) = blocks(IMAGES, "json")
    request = ContainerRequest(org_id="acme", task_definition_template=json.loads(text))
    assert request.label == "dagy-worker-locked-down"


def test_the_commands_of_compose_name_services_that_there_are() -> None:
    services = read_compose()["services"]
    lines = [line for block in blocks(COMPOSE, "bash") for line in block.splitlines()]
    others = {line for line in lines if not line.startswith("docker compose ")}
    assert others == LOCAL
    text = COMPOSE.read_text()
    assert "--scale dispatcher=3" in text
    assert "dispatcher" in services
    assert all(shlex.split(line)[2] in ("up", "down") for line in set(lines) - others)


def test_the_page_names_the_variables_of_the_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("REDIS_PORT", "AWS_PORT", "FLOWER_PORT", "API_PORT", "API_TOKEN_HASH"):
        assert f"${{{name}:-" in text
        assert f"`{name}`" in COMPOSE.read_text()
