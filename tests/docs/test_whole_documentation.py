"""What is true of all pages together: each is in the index, its code is run, its commands are ones that there are."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from dagy_queue.operate.cli import app
from tests.docs.pages import ROOT, WORKED_THROUGH, blocks_of

DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
HERE = "tests/docs"
RUN_BY = {
    "bridge.md": f"{HERE}/test_documentation.py",
    "command-line.md": f"{HERE}/test_documentation.py",
    "configuration.md": f"{HERE}/test_configuration.py",
    "docker-compose.md": f"{HERE}/test_images_pages.py",
    "fan-out.md": f"{HERE}/test_documentation.py",
    "flower.md": f"{HERE}/test_flower_page.py",
    "flow-spec.md": f"{HERE}/test_flows.py",
    "flows.md": f"{HERE}/test_flows.py",
    "http-api.md": f"{HERE}/test_http_api_page.py",
    "images.md": f"{HERE}/test_images_pages.py",
    "launching.md": f"{HERE}/test_documentation.py",
    "local-stack.md": f"{HERE}/test_documentation.py",
    "metrics.md": f"{HERE}/test_metrics_page.py",
    "records.md": f"{HERE}/test_documentation.py",
    "registry.md": f"{HERE}/test_documentation.py",
    "retries.md": f"{HERE}/test_documentation.py",
    "worker.md": "tests/worker/entrypoint/test_worker_page.py",
}
"""Pages whose code a test of their own runs."""


def test_every_page_is_in_the_index() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", re.sub(r"<!--.*?-->", "", INDEX.read_text(), flags=re.DOTALL)))
    assert linked == {page.name for page in DOCS.glob("*.md")} - {INDEX.name}


def test_every_page_that_shows_code_is_run() -> None:
    with_code = {page for page in PAGES if list(blocks_of(page))}
    assert with_code == {*WORKED_THROUGH, *(DOCS / name for name in RUN_BY)}
    for name, file in RUN_BY.items():
        assert name in (ROOT / file).read_text(), file


def commands_of(page: Path) -> Iterator[str]:
    """Yield the commands that the text of a page names."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for found in re.findall(r"`(dagy-queue [^`]+)`", prose):
        yield " ".join(found.split())


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "cli.md"], ids=lambda page: page.name)
def test_commands_in_the_text_are_ones_that_there_are(page: Path) -> None:
    for command in commands_of(page):
        words = shlex.split(command.partition(" -- ")[0])[1:]
        found: Any = get_command(app)
        while words and hasattr(found, "commands") and not words[0].startswith("-"):
            found = found.get_command(typer.Context(found), words.pop(0))
            assert found is not None, f"{page.name}: {command}"
        options = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
        named = {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}
        assert named <= options | {"--help"}, f"{page.name}: {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scripts_that_are_named_can_be_run(page: Path) -> None:
    for name in re.findall(r"\./(scripts/[\w-]+)", page.read_text()):
        assert os.access(ROOT / name, os.X_OK), f"{page.name}: {name}"
