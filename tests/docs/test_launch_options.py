"""Every row of docs/launch-options.md, run: launched against the local ECS, or its test looked up."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from tests.docs.launch_kit import LEVELS, PAGE, ROOT, Asked, Call, facts_of, is_true, launched


@dataclass(frozen=True)
class Row:
    """One option: what is passed, and what must be true then."""

    where: str
    theirs: str
    here: str
    checks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {re.sub(r'[^A-Za-z0-9_./ ]', '', self.theirs)}"


def rows_of(text: str) -> Iterator[Row]:
    section, in_table = "", False
    for line in text.splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ")
        if not line.startswith("|"):
            in_table = False
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells == ["its name", "here", "what ECS gets"]:
            in_table = True
        elif in_table and not set(line) <= set("|- "):
            assert len(cells) == 3, line
            yield Row(section, cells[0], cells[1], tuple(re.findall("`([^`]+)`", cells[2])))


ROWS = list(rows_of(PAGE.read_text()))


def asked_by(row: Row) -> Asked:
    asked = Asked({}, {}, {})
    for piece in re.findall("`([^`]+)`", row.here):
        if re.match(r"(DAGY|AWS)_[A-Z_]+=", piece):
            name, _, value = piece.partition("=")
            asked.settings[name] = value
        elif piece.startswith("DagLauncher("):
            asked.launcher.update(keywords(piece))
        elif re.match(r"[a-z_]+=", piece):
            asked.fields.update(keywords(f"dict({piece})"))
    return asked


def keywords(call: str) -> dict[str, Any]:
    """Return the keyword arguments of a call, which are literals."""
    parsed = ast.parse(call, mode="eval").body
    assert isinstance(parsed, ast.Call), call
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in parsed.keywords}


@cache
def functions_of(file: str) -> dict[str, list[str]]:
    """Return the tests of a file with their decorators."""
    functions = [node for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)]
    return {f.name: [ast.unparse(decorator) for decorator in f.decorator_list] for f in functions}


def check_test(reference: str) -> None:
    file, _, name = reference.partition("::")
    assert name in functions_of(file), f"there is no test {reference}"
    assert not [d for d in functions_of(file)[name] if "skip" in d or "xfail" in d], f"{reference} is not run"


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_an_option_does_what_its_row_says(
    row: Row, calls: list[Call], ecs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert row.checks, "nothing to check"
    expressions = [check for check in row.checks if not check.startswith("tests/")]
    for reference in set(row.checks) - set(expressions):
        check_test(reference)
    if not expressions:
        return
    facts = facts_of(launched(asked_by(row), monkeypatch), calls, ecs)
    if not any("refused" in expression for expression in expressions):
        assert facts["result"].success, facts["refused"]
    for expression in expressions:
        assert is_true(expression, facts), f"{expression}\n{facts}"


def test_every_row_of_the_page_is_read() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|") and not set(line) <= set("|- ")]
    headers = [line for line in lines if line.startswith(("| its name |", "| level |"))]
    assert len(ROWS) + len(LEVELS) == len(lines) - len(headers)


@pytest.mark.parametrize("name", ["clientToken", "startedBy", "referenceId"])
def test_what_carries_the_run_id_cannot_be_set(name: str, calls: list[Call], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked({}, {}, {"run_task_kwargs": {name: "mine"}})
    assert f"{name} cannot be set" in (launched(asked, monkeypatch).error_message or "")
    assert not calls


@pytest.mark.parametrize(
    "fields",
    [
        {"extra_env_vars": {"DAGY_RUN_ID": "mine"}},
        {"secrets_env": {"TASK_NAME": "arn:aws:ssm:us-east-1:123456789:parameter/name"}},
        {"container_overrides": [{"name": "worker", "environment": {"TASK_NUM": "7"}}]},
        {"tags": {"dagy:run": "mine"}},
    ],
)
def test_names_that_are_ours_cannot_be_set(
    fields: dict[str, Any], calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "reserved" in (launched(Asked({}, {}, fields), monkeypatch).error_message or "")
    assert not calls


def test_what_does_not_fit_into_the_overrides_is_refused_with_the_limit(
    calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = launched(Asked({}, {}, {"extra_env_vars": {"LARGE": "x" * 6144}}), monkeypatch).error_message or ""
    assert "and 6144 fit; put large values into S3" in refused
    assert launched(Asked({}, {}, {"extra_env_vars": {"LARGE": "x" * 6000}}), monkeypatch).success
    assert len(json.dumps(calls[0].parameters["overrides"], separators=(",", ":"))) <= 8192


def test_more_tags_than_ecs_takes_are_refused_with_the_limit(
    calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {f"tag-{index}": "" for index in range(43)}
    refused = launched(Asked({}, {}, {"tags": tags}), monkeypatch).error_message or ""
    assert "43 tags given, 42 allowed: ECS takes 50, and 8 are ours" in refused
    tags.popitem()
    assert launched(Asked({}, {}, {"tags": tags}), monkeypatch).success
