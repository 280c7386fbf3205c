"""docs/worker.md: its snippets run, and its tables are what the worker does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from dagy.contract import Env, ExitCode
from dagy_worker import deaths
from tests.worker.entrypoint.conftest import Worker

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "worker.md").read_text()
SOURCES = "\n".join(path.read_text() for path in (ROOT / "worker_image" / "dagy_worker").rglob("*.py"))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_flow_that_asks_whether_it_is_stopped_runs(worker: Worker) -> None:
    (code,) = blocks("python")
    done = worker.run(worker.spec(code))
    assert (done.exit_code, done.report.result) == (0, 3)
    assert [line["message"] for line in done.events("print")] == ["pages done: 3"]


def test_the_commands_make_a_package_that_can_be_used(worker: Worker, tmp_path: Path) -> None:
    (commands,) = blocks("bash")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    subprocess.run(["bash", "-ec", commands], cwd=tmp_path, env={**os.environ, "PATH": path}, check=True)
    uri = worker.objects.put("my-deps.zip", (tmp_path / "my-deps.zip").read_bytes())
    body = "    from custom_module import helper_function\n    return helper_function()"
    code = f"from dagy import flow\n@flow\ndef f():\n{body}"
    assert worker.run(worker.spec(code, dep_package_uris=[uri])).report.result == "helped"


def test_the_query_finds_what_failed(worker: Worker) -> None:
    (query,) = blocks("text")
    wanted = re.search(r'event_type = "(\w+)"', query)
    assert wanted
    code = "from dagy import flow, task\n@task\ndef t(): return 1 // 0\n@flow\ndef f(): return t()"
    (found,) = worker.run(worker.spec(code)).events(wanted[1])
    assert (found["run_id"], found["task"]) == ("run-1", "t")


def test_every_event_type_is_told() -> None:
    table = PAGE.partition("| event_type | what |")[2].partition("\n\n")[0]
    told = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    named = {"print", "log", "output"}
    found = set(
        re.findall(r'"((?:run|task|thread|package|fork|process|report|traceback|record|secret|worker)_\w+)"', SOURCES)
    )
    events = {name for name in found if re.search(rf'(?:emit\(|_emit\()[^)]*?"{name}"', SOURCES, re.DOTALL)}
    assert told - named <= found
    assert events <= told


def test_every_exit_code_and_variable_is_told() -> None:
    codes = {value for name, value in vars(ExitCode).items() if name.isupper()} | {deaths.BROKEN}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)} == codes
    read = {Env.RUN_SPEC, Env.RUN_SPEC_URI, Env.LOG_LEVEL, Env.PACKAGE_CACHE, Env.RESULT_URI, Env.DEP_PACKAGE_URIS}
    assert all(f"`{name}`" in PAGE for name in read)
