"""The ``dagy`` command, called in this process but for one real one."""

from __future__ import annotations

import json
import os
import signal
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
def f(n: int = 1): return t(t())

@flow
def g(n): return t()
"""


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


def test_parameters_are_in_the_environment_when_the_file_is_imported(write: Any, capsys: Any) -> None:
    code = CODE.replace("@task\n", "BUCKET = os.environ['OUTPUT_BUCKET']\n\n@task\n").replace(
        '["NAME"]', '["NAME"] + BUCKET'
    )
    arguments = ["--param", "output_bucket=b", "--param", "name=1e3"]
    assert main(["run", str(write("greeting_early.py", code)), *arguments]) == 0
    assert json.loads(capsys.readouterr().out) == {"text": 2000.0, "env": "1000.0b"}
    assert "OUTPUT_BUCKET" not in os.environ


def test_a_parameter_that_no_template_names_is_noted_but_reaches_the_environment(write: Any, capsys: Any) -> None:
    file = str(write("greeting_slip.py", CODE))
    assert main(["run", file, "--param", "name=a", "--param", "tmies=3"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["text"] == "aa"
    assert "note: <flow 'greeting' 1.0.0> does not name parameter 'tmies' (it names: name, times)\n" in printed.err


def test_run_shows_the_traceback_of_a_failure_and_exits_1(write: Any, capsys: Any) -> None:
    assert main(["run", str(write("failing_run.py", FAILING))]) == 1
    errors = capsys.readouterr().err
    assert "t: attempt 1 failed, next in 0 s: ZeroDivisionError: division by zero" in errors
    assert "t: FAILED after 2 attempts: ZeroDivisionError: division by zero" in errors
    assert "u: SKIPPED" in errors
    assert "failing_run.py" in errors
    assert "worker_image/dagy/" not in errors
    assert errors.endswith("dagy: flow 'f' failed in task 't': ZeroDivisionError: division by zero\n")


def test_validate_shows_parameters_and_tasks(write: Any, capsys: Any) -> None:
    file = str(write("two_flows.py", TWO))
    assert main(["validate", file]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "flow f 0.0.0 (two_flows.py:f)",
        "  parameter n (int): default 1",
        "  task t",
        "  task t-2 after t",
        "flow g 0.0.0 (two_flows.py:g)",
        "  parameter n: required",
        "  tasks: known only with parameters",
    ]
    assert main(["validate", file, "--flow", "h"]) == 5
    assert "has no flow 'h'; it has: f, g" in capsys.readouterr().err


def test_an_error_is_one_line_and_an_import_error_has_its_traceback(write: Any, tmp_path: Path, capsys: Any) -> None:
    assert main(["run", str(write("greeting_two.py", CODE))]) == 2
    assert capsys.readouterr().err.startswith("dagy: flow 'greeting': parameter 'name' is missing")
    assert main(["validate", str(write("broken_file.py", "import json\n1 / 0"))]) == 1
    assert "line 2" in capsys.readouterr().err
    assert main(["build", str(write("greeting_three.py", CODE)), "-o", str(tmp_path / "no" / "where.zip")]) == 1
    assert f"there is no directory {tmp_path / 'no'}: make it first" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["fly"], ["run"], ["run", "x.py", "--param", "novalue"], ["run", "x.py", "--max-workers", "0"]),
        *(["run", "x.py", "--parameters", "{"], ["run", "x.py", "--parameters", "[1]"]),
        *(["run", "x.py", "--parameters", "@nothing.json"], ["--verbose", "--quiet", "run", "x.py"]),
        *(["--format", "xml", "run", "x.py"], ["run", "x.py:one", "--flow", "two"]),
    ],
)
def test_wrong_usage_exits_2(arguments: list[str], capsys: Any) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: dagy" in capsys.readouterr().err


def test_the_installed_command_tells_its_version() -> None:
    command = Path(sys.executable).with_name("dagy")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == "dagy 0.1.0\n"


def test_what_is_not_there_exits_5(write: Any, tmp_path: Path, capsys: Any) -> None:
    file = write("greeting_five.py", CODE)
    for command in ("build", "run", "validate"):
        assert main([command, str(tmp_path / "nothing.py")]) == 5
        assert main([command, str(file), "--flow", "other"]) == 5
        assert main([command, f"{file}:other"]) == 5


def test_a_directory_is_no_flow_s_file(tmp_path: Path, capsys: Any) -> None:
    assert main(["validate", str(tmp_path)]) == 5
    assert capsys.readouterr().err == f"dagy: {tmp_path} is a directory: name the Python file in it that has the flow\n"


def test_a_flow_is_chosen_by_its_name_or_that_in_the_file(write: Any, capsys: Any) -> None:
    file = write("greeting_choice.py", CODE)
    for place in (f"{file}:dag", f"{file}:greeting", str(file)):
        assert main(["run", place, "--param", "name=ab"]) == 0
        assert json.loads(capsys.readouterr().out)["text"] == "abab"


def test_parameters_come_as_a_document_a_file_or_one_by_one(write: Any, tmp_path: Path, capsys: Any) -> None:
    file = str(write("greeting_parameters.py", CODE))
    (tmp_path / "p.json").write_text('{"name": "x", "times": 3}')
    for arguments, text in (
        (["--parameters", '{"name": "a", "times": 4}'], "aaaa"),
        (["--parameters", f"@{tmp_path / 'p.json'}"], "xxx"),
        (["--parameters", f"@{tmp_path / 'p.json'}", "--param", "times=1"], "x"),
    ):
        assert main(["run", file, *arguments]) == 0
        assert json.loads(capsys.readouterr().out)["text"] == text


TYPED = """
from dagy import flow, task
@task
def show(value): return value
@flow
def f(text: str = "", number: int = 0, anything=None): return [show(text), number, anything]
"""


def test_a_value_is_json_unless_the_parameter_is_text(write: Any, capsys: Any) -> None:
    file = str(write("typed_run.py", TYPED))
    given = ["text=0", "number=7", "anything=[1]"]
    assert main(["run", file, *(word for value in given for word in ("--param", value))]) == 0
    assert json.loads(capsys.readouterr().out) == ["0", 7, [1]]
    assert main(["run", file, "--param", "anything=plain text"]) == 0
    assert json.loads(capsys.readouterr().out) == ["", 0, "plain text"]
    assert main(["run", file, "--param", "number=seven"]) == 2
    assert "parameter number: expected int, got str 'seven'" in capsys.readouterr().err


PRINTING = """
import datetime
from dagy import flow, task
print("while it is imported")

@task
def noisy():
    print("while it runs")
    return datetime.date(2024, 3, 7)

@flow
def f(): return {"day": noisy()}
"""


def test_stdout_has_the_result_alone_and_one_that_is_no_json_is_told(write: Any, capsys: Any) -> None:
    assert main(["run", str(write("printing_run.py", PRINTING))]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == "{'day': datetime.date(2024, 3, 7)}"
    assert "while it is imported\nwhile it runs\n" in printed.err
    assert "the result is not JSON (Object of type date is not JSON serializable): a run in a container" in printed.err


def test_how_loud_the_command_is_can_be_said_before_or_after_it(write: Any, capsys: Any) -> None:
    file = str(write("failing_loud.py", FAILING))
    for arguments in (["--quiet", "run", file], ["run", file, "-q"]):
        assert main(arguments) == 1
        assert "SKIPPED" not in capsys.readouterr().err
    for arguments in (["--verbose", "run", file], ["run", file, "-v"]):
        assert main(arguments) == 1
        assert "t: attempt 2" in capsys.readouterr().err


def test_results_come_as_json_for_programs(write: Any, tmp_path: Path, capsys: Any) -> None:
    good, bad = str(write("greeting_json.py", CODE)), str(write("failing_json.py", FAILING))
    assert main(["--format", "json", "run", good, "--param", "name=a"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], document["result"]["text"], document["error"]) == ("SUCCEEDED", "aa", None)
    assert document["tasks"]["greet"]["attempts"] == 1
    assert document["run_id"].startswith("local-")
    assert main(["run", bad, "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["error"] == {"type": "ZeroDivisionError", "message": "division by zero", "task": "t"}
    assert {name: task["state"] for name, task in document["tasks"].items()} == {"t": "FAILED", "u": "SKIPPED"}
    assert main(["validate", good, "--format", "json"]) == 0
    (spec,) = json.loads(capsys.readouterr().out)
    assert [task["name"] for task in spec["tasks"]] == ["greet"]
    target = tmp_path / "a.zip"
    assert main(["build", good, "-o", str(target), "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["artifact"], document["bytes"], document["git"]) == (str(target), target.stat().st_size, None)
    assert document["sha256"] == build_artifact(good).sha256
    assert set(document["files"]) == {"flow_spec.json", "src/greeting_json.py"}


def test_validate_shows_the_graph_of_given_parameters(write: Any, capsys: Any) -> None:
    file = str(write("two_given.py", TWO))
    assert main(["validate", f"{file}:g", "--param", "n=1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  task t"
    assert main(["validate", f"{file}:g", "--param", "m=1"]) == 2
    assert "parameter 'n' is missing; parameter 'm' is unknown (it takes: n; given: m)" in capsys.readouterr().err


def test_validate_tells_why_the_defaults_make_no_graph(write: Any, capsys: Any) -> None:
    file = str(write("refusing.py", TWO.replace("def f(n: int = 1): return", "def f(n=None):\n    n + 1\n    return")))
    assert main(["validate", f"{file}:f"]) == 1
    errors = capsys.readouterr().err
    assert "flow 'f': calling it with its defaults raised TypeError" in errors
    assert "n + 1" in errors
    assert main(["validate", f"{file}:f", "--param", "n=3"]) == 0


def test_validate_tells_why_parameters_make_no_graph(write: Any, capsys: Any) -> None:
    file = str(write("refusing_given.py", TWO.replace("def g(n): return", "def g(n):\n    1 / n\n    return")))
    assert main(["validate", f"{file}:g", "--param", "n=0"]) == 1
    errors = capsys.readouterr().err
    assert errors.endswith("dagy: flow 'g' cannot be made: ZeroDivisionError: division by zero\n")
    assert "1 / n" in errors
    assert "cli_commands.py" not in errors


@pytest.mark.parametrize("command", ["run", "validate", "build"])
def test_a_flow_that_ends_the_program_is_no_success(command: str, write: Any, tmp_path: Path, capsys: Any) -> None:
    code = "import sys\n" + TWO.replace("def f(n: int = 1): return", "def f(n: int = 1):\n    sys.exit(0)\n    return")
    more = ["-o", str(tmp_path / "artifact.zip")] if command == "build" else []
    assert main([command, f"{write('ending.py', code)}:f", *more]) == 1
    printed = capsys.readouterr()
    assert printed.err.endswith("dagy: flow 'f' ends the program (sys.exit): raise an error instead\n")
    assert "    sys.exit(0)\n" in printed.err
    assert printed.out == ""


def test_a_build_that_fails_leaves_the_old_artifact_alone(write: Any, tmp_path: Path, capsys: Any) -> None:
    file, target = write("greeting_old.py", CODE), tmp_path / "out" / "artifact.zip"
    target.parent.mkdir()
    assert main(["build", str(file), "-o", str(target)]) == 0
    before = target.read_bytes()
    file.write_text("1 / 0")
    assert main(["build", str(file), "-o", str(target)]) == 1
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["artifact.zip"]
    file.write_text(CODE)
    assert main(["build", str(file), "-o", str(target.parent)]) == 1
    assert "expected the name of a file, not of a directory" in capsys.readouterr().err


WAITING = """
from dagy import flow, task
@task
def wait():
    print("waiting", flush=True)
    import threading
    threading.Event().wait(60)
@flow
def f(): return wait()
"""


def test_ctrl_c_ends_a_run_with_130(write: Any) -> None:
    command = [Path(sys.executable).with_name("dagy"), "run", write("waiting_run.py", WAITING)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr
        assert child.stderr.readline() == "waiting\n"
        child.send_signal(signal.SIGINT)
        assert child.stderr.read() == "dagy: interrupted\n"
    assert child.returncode == 130


UNWILLING = """
from dagy import flow, task

class Silent(Exception):
    def __str__(self): raise RuntimeError

class Unwilling:
    def __repr__(self): raise RuntimeError

@task
def give(what):
    if what == "error":
        raise Silent
    return "half \\ud800" if what == "half" else Unwilling()

@flow
def f(what: str): return give(what)
"""


@pytest.mark.parametrize(
    ("what", "code", "told"),
    [
        ("error", 1, "dagy: flow 'f' failed in task 'give': Silent: <its message cannot be shown>"),
        (
            "object",
            0,
            "the result is not JSON (Object of type Unwilling is not JSON serializable): a run in a container",
        ),
        ("half", 0, "surrogates not allowed): a run in a container would fail"),
    ],
)
def test_what_cannot_be_shown_is_told(write: Any, capsys: Any, what: str, code: int, told: str) -> None:
    assert main(["run", str(write("unwilling.py", UNWILLING)), "--param", f"what={what}"]) == code
    assert told in capsys.readouterr().err


def test_nobody_who_reads_on_is_no_error_to_tell(write: Any) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [str(Path(sys.executable).parent / "dagy"), "validate", str(write("unread.py", UNWILLING))]
    with os.fdopen(writer, "w") as stdout:
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
