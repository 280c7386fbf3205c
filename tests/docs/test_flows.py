"""Every snippet and command of docs/flows.md and docs/flow-spec.md, run in their order, with the output they show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from dagy import build_artifact
from dagy.build import METADATA
from dagy.flow_options import FlowOptions
from dagy.options import TaskOptions

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "flows.md"
SPEC_PAGE = ROOT / "docs" / "flow-spec.md"
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield language and text of each block."""
    yield from re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def file_of(text: str) -> str:
    """Return the name that a block gives itself as a file, or ""."""
    named = re.match(r"# (\S+\.py)\n", text)
    return named[1] if named else ""


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A directory with the page's files."""
    (tmp_path / "flows" / "sql").mkdir(parents=True)
    (tmp_path / "flows" / "sql" / "report.sql").write_text("select 1")
    for language, text in blocks(PAGE):
        if language == "python" and file_of(text):
            (tmp_path / file_of(text)).write_text(text)
    return tmp_path


def output_of(command: list[str], directory: Path) -> str:
    done = subprocess.run(command, cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_snippets_of_flows_run_as_they_stand_and_print_what_is_shown(workplace: Path) -> None:
    printed, shown = "", 0
    for language, text in blocks(PAGE):
        if language == "python" and not file_of(text):
            printed = output_of([sys.executable, "-c", text], workplace)
        elif language == "bash":
            printed = output_of(["bash", "-euc", text], workplace)
        elif language == "text":
            shown += 1
            lines = [line for line in printed.splitlines(keepends=True) if not re.fullmatch(r"[0-9a-f]{64}\n", line)]
            assert "".join(lines) == text
    assert shown == 5


def test_the_page_s_ignore_file_leaves_out_what_it_says(workplace: Path) -> None:
    (ignore,) = [text for language, text in blocks(PAGE) if language == "gitignore"]
    (workplace / "flows" / ".dagyignore").write_text(ignore)
    for name in ("pkg/__init__.py", "pkg/rates.csv", "pkg/prices.csv", "pkg/tests/test_it.py"):
        (workplace / "flows" / name).parent.mkdir(parents=True, exist_ok=True)
        (workplace / "flows" / name).write_text("")
    file = workplace / "flows" / "uses_pkg.py"
    file.write_text("import pkg\nfrom dagy import flow\n@flow\ndef f(): pass")
    assert list(build_artifact(file).files) == [
        "flow_spec.json",
        "src/pkg/__init__.py",
        "src/pkg/rates.csv",
        "src/uses_pkg.py",
    ]


def test_included_files_are_in_the_artifact(workplace: Path) -> None:
    assert "src/sql/report.sql" in build_artifact(workplace / "flows" / "report.py").files


def test_every_option_of_tasks_and_flows_is_on_the_page() -> None:
    page = PAGE.read_text()
    for option in (*fields(TaskOptions), *fields(FlowOptions)):
        assert f"`{option.name}`" in page


def test_the_page_of_the_spec_shows_the_spec_of_the_flow_it_names(workplace: Path) -> None:
    ((_, text),) = blocks(SPEC_PAGE)
    assert json.loads(text) == build_artifact(workplace / "flows" / "sales.py").spec.as_json()


def test_the_page_of_the_spec_names_every_member() -> None:
    schema = json.loads((ROOT / "docs" / "flow-spec.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    page = SPEC_PAGE.read_text()
    for member in schema["properties"]:
        assert f"`{member}`" in page
    for member in schema["$defs"]["task"]["properties"]:
        assert f"`tasks[].{member}`" in page or f"`{member}`" in page


def test_the_page_of_the_spec_names_every_member_of_the_metadata(workplace: Path) -> None:
    from io import BytesIO
    from zipfile import ZipFile

    artifact = build_artifact(workplace / "flows" / "sales.py")
    metadata = json.loads(ZipFile(BytesIO(artifact.content)).read(METADATA))
    assert all(f"`{member}`" in SPEC_PAGE.read_text() for member in metadata)
