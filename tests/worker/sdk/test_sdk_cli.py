"""The ``dagy`` command, called in this process but for one real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from dagy.build import build_artifact
from dagy.cli import main

CODE = """
import os
from dagy import DAG, task

@task
def greet(name, times=1):
    return {"text": name * times, "env": os.environ["NAME"]}

with DAG("greeting", version="1.0.0", parameters={"times": 2}) as dag:
    greet("{{ parameters.name }}", "{{ parameters.times }}")
"""

FAILING = """
from dagy import flow, task

@task(retries=1)
def t(): 1 / 0

@task
def u(x): pass

@flow
def f(): return u(t())
"""
TWO = """
from dagy import flow, task
t = task(name="t")(lambda x=0: x)

@flow
def f(n=1): return t(t())

@flow
def g(n): return t()
"""


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what a local run leaves in the process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_build_writes_the_artifact_and_prints_its_hash(write: Any, tmp_path: Path, capsys: Any) -> None:
    file, target = write("greeting.py", CODE), tmp_path / "artifact.zip"
    assert main(["build", str(file), "--output", str(target), "--version", "2.0.0"]) == 0
    expected = build_artifact(file, "2.0.0")
    assert target.read_bytes() == expected.content
    printed = capsys.readouterr()
    assert printed.out == f"{expected.sha256}\n"
    assert "greeting 2.0.0" in printed.err
    assert json.loads(ZipFile(target).read("flow_spec.json"))["version"] == "2.0.0"


def test_run_prints_the_result_and_shows_progress(write: Any, capsys: Any) -> None:
    assert main(["run", str(write("greeting_run.py", CODE)), "--param", "name=ab", "--param", "times=3"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"text": "ababab", "env": "ab"}
    assert "greet: SUCCEEDED in 0.0" in printed.err


def test_run_shows_the_traceback_of_a_failure_and_exits_1(write: Any, capsys: Any) -> None:
    assert main(["run", str(write("failing_run.py", FAILING))]) == 1
    errors = capsys.readouterr().err
    assert "t: attempt 1 failed, next in 0 s: division by zero" in errors
    assert "t: FAILED after" in errors
    assert "u: SKIPPED" in errors
    assert "ZeroDivisionError" in errors


def test_validate_shows_parameters_and_tasks(write: Any, capsys: Any) -> None:
    file = str(write("two_flows.py", TWO))
    assert main(["validate", file]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "flow f 0.0.0 (two_flows.py:f)",
        "  parameter n: default 1",
        "  task t",
        "  task t-2 after t",
        "flow g 0.0.0 (two_flows.py:g)",
        "  parameter n: required",
        "  tasks: known only with parameters",
    ]
    assert main(["validate", file, "--flow", "h"]) == 1
    assert "has no flow 'h'; it has: f, g" in capsys.readouterr().err


def test_an_error_is_one_line_and_an_import_error_has_its_traceback(write: Any, tmp_path: Path, capsys: Any) -> None:
    assert main(["run", str(write("greeting_two.py", CODE))]) == 1
    assert capsys.readouterr().err.startswith("dagy: flow 'greeting': parameter 'name' is missing")
    assert main(["validate", str(write("broken_file.py", "import json\n1 / 0"))]) == 1
    assert "line 2" in capsys.readouterr().err
    assert main(["build", str(write("greeting_three.py", CODE)), "-o", str(tmp_path / "no" / "where.zip")]) == 1
    assert "No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run"], ["run", "x.py", "--param", "novalue"]])
def test_wrong_usage_exits_2(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: dagy" in capsys.readouterr().err


def test_the_installed_command_tells_its_version() -> None:
    command = Path(sys.executable).with_name("dagy")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == "dagy 0.1.0\n"
