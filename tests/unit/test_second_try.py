"""The second try that scripts/test gives to tests that failed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

FUNCTIONS = Path(__file__).parents[2] / "scripts" / "lib" / "second_try.sh"

SUITE = """
import pathlib
import pytest

def fails(name, times):
    tries = pathlib.Path(name)
    tries.write_text((tries.read_text() if tries.exists() else "") + "x")
    assert len(tries.read_text()) > times, f"{name} failed"

def test_good():
    fails("good", 0)
"""


class Suite:
    """Tests of their own, in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "test_suite.py").write_text(SUITE)

    def has(self, name: str, failures: int, marks: str = "") -> None:
        with (self.directory / "test_suite.py").open("a") as file:
            file.write(f"\n{marks}\ndef test_{name}():\n    fails('{name}', {failures})\n")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        (self.directory / "pytest.ini").write_text("[pytest]\nmarkers = alone\n")
        python, source, options = (shlex.quote(sys.executable), shlex.quote(str(FUNCTIONS)), shlex.join(arguments))
        script = f"set -euo pipefail; source {source}; run_tests {python} {options}; echo the-rest-of-the-script"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return subprocess.run(
            ["bash", "-c", script], cwd=self.directory, env=environment, capture_output=True, text=True, check=False
        )

    def tries(self, name: str) -> int:
        return len((self.directory / name).read_text())


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


def test_tests_that_pass_are_run_once(suite: Suite) -> None:
    done = suite.run()
    assert done.returncode == 0
    assert suite.tries("good") == 1
    assert "once more" not in done.stdout
    assert "the-rest-of-the-script" in done.stdout


def test_few_failures_are_tried_once_more_and_named(suite: Suite) -> None:
    for name in ("first", "second", "third"):
        suite.has(name, failures=1)
    done = suite.run("--numprocesses", "2", "--dist", "loadfile", "--no-loadscope-reorder", "-m", "not alone")
    assert done.returncode == 0, done.stdout
    assert [suite.tries(name) for name in ("good", "first", "second", "third")] == [1, 2, 2, 2]
    assert "AssertionError: first failed" in done.stdout
    named = done.stdout.partition("failed at first and passed by themselves")[2]
    assert [f"test_suite.py::test_{name}" in named for name in ("first", "second", "third")] == [True] * 3


def test_what_fails_twice_fails_the_whole(suite: Suite) -> None:
    suite.has("broken", failures=9)
    suite.has("shaky", failures=1)
    done = suite.run()
    assert done.returncode == 1
    assert suite.tries("broken") == 2
    assert "passed by themselves" not in done.stdout
    assert "the-rest-of-the-script" not in done.stdout


def test_many_failures_are_not_tried_again(suite: Suite) -> None:
    for name in ("first", "second", "third", "fourth"):
        suite.has(name, failures=1)
    done = suite.run()
    assert done.returncode == 1
    assert suite.tries("first") == 1


def test_only_failures_of_the_same_run_are_tried_again(suite: Suite) -> None:
    suite.has("shaky", failures=1)
    suite.has("lonely", failures=1, marks="@pytest.mark.alone")
    assert suite.run("-m", "not alone").returncode == 0
    assert suite.run("-m", "alone").returncode == 0
    assert [suite.tries(name) for name in ("good", "shaky", "lonely")] == [1, 2, 2]


def test_what_pytest_cannot_run_is_not_tried_again(suite: Suite) -> None:
    (suite.directory / "test_suite.py").write_text("import no_such_module_anywhere\n")
    done = suite.run()
    assert done.returncode == 2
    assert "once more" not in done.stdout
    assert suite.run("-k", "nothing", "--ignore", "test_suite.py").returncode == 5
