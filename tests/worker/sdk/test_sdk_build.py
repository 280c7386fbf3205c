"""Artifacts and flow specs: what is inside, and that the same input gives the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from dagy import FlowSpec, __version__, build_artifact
from dagy.build import MAX_BYTES, MAX_BYTES_VARIABLE, Artifact
from dagy.errors import BuildError, GraphError, LoadError, NotFoundError, OptionError

ETL = """
from dagy import DAG, task
from helpers import suffix

@task(retries=2)
def extract(source): return source + suffix()

@task
def load(data): return data

with DAG("etl", version="1.0.0") as dag:
    load(extract("{{ parameters.source }}"))
"""
HELPERS = "def suffix(): return '!'"


def opened(artifact: Artifact) -> ZipFile:
    return ZipFile(BytesIO(artifact.content))


def spec_of(artifact: Artifact) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(opened(artifact).read("flow_spec.json"))
    return document


def test_an_artifact_holds_the_spec_metadata_and_sources(write: Any) -> None:
    write("helpers.py", HELPERS)
    artifact = build_artifact(write("etl.py", ETL))
    archive = opened(artifact)
    assert archive.namelist() == ["flow_spec.json", "metadata.json", "src/etl.py", "src/helpers.py"]
    metadata = json.loads(archive.read("metadata.json"))
    assert {name: metadata[name] for name in ("schema", "flow", "version", "sdk_version", "git")} == {
        "schema": 1,
        "flow": "etl",
        "version": "1.0.0",
        "sdk_version": __version__,
        "git": None,
    }
    assert metadata["files"] == {
        name: sha256(archive.read(name)).hexdigest() for name in archive.namelist() if name != "metadata.json"
    }
    assert metadata["content_sha256"] == artifact.content_sha256
    assert artifact.sha256 == sha256(artifact.content).hexdigest()
    assert artifact.files["src/helpers.py"] == len(HELPERS)


def test_the_spec_tells_parameters_tasks_and_entrypoint(write: Any) -> None:
    write("helpers.py", HELPERS)
    artifact = build_artifact(write("etl.py", ETL))
    assert spec_of(artifact) == {
        "schema": 1,
        "name": "etl",
        "version": "1.0.0",
        "description": "",
        "tags": {},
        "fail_fast": True,
        "max_workers": None,
        "parameters": [{"name": "source", "required": True}],
        "tasks": [
            {
                "name": "extract",
                "task": "extract",
                "function": "extract",
                "upstream": [],
                "options": {"retries": 2},
            },
            {"name": "load", "task": "load", "function": "load", "upstream": ["extract"], "options": {}},
        ],
        "outputs": ["load"],
        "entrypoint": {"file": "src/etl.py", "object": "dag"},
    }
    assert FlowSpec.from_json(artifact.spec.to_json()) == artifact.spec


def test_the_same_sources_give_the_same_bytes_wherever_and_whenever(write: Any) -> None:
    write("one/helpers.py", HELPERS)
    first = build_artifact(write("one/etl.py", ETL))
    helpers = write("two/helpers.py", HELPERS)
    os.utime(helpers, (0, 0))
    helpers.chmod(0o600)
    assert build_artifact(write("two/etl.py", ETL)).content == first.content


def test_projects_with_modules_of_the_same_name_do_not_mix(write: Any) -> None:
    for name, version in (("one", "1"), ("two", "2")):
        write(f"{name}/same_name.py", f"VERSION = '{version}'")
        file = write(
            f"{name}/flow_file.py",
            "from dagy import flow\nfrom same_name import VERSION\nf = flow(name='f', version=VERSION)(lambda: 1)",
        )
        before = list(sys.path)
        assert build_artifact(file).spec.version == version
        assert sys.path == before
        assert "same_name" not in sys.modules
        assert "flow_file" not in sys.modules


def test_the_version_can_be_overridden_and_a_flow_chosen(write: Any) -> None:
    file = write(
        "two.py", "from dagy import flow\na = flow(name='first')(lambda: 1)\nb = flow(name='second')(lambda: 2)\n"
    )
    assert build_artifact(file, "9", flow="second").spec.entrypoint.object == "b"
    assert build_artifact(file, "9", flow="a").spec.version == "9"
    with pytest.raises(LoadError, match=r"two.py has several flows: first, second. Choose one with --flow NAME"):
        build_artifact(file)
    with pytest.raises(LoadError, match=r"two.py has no flow 'third'; it has: first, second"):
        build_artifact(file, flow="third")


def test_a_flow_s_other_names_and_imported_flows_do_not_make_it_ambiguous(write: Any) -> None:
    write("library.py", "from dagy import flow\nshared = flow(name='shared')(lambda: 1)")
    code = "from dagy import flow\nfrom library import shared\nmine = alias = flow(name='mine')(lambda: shared())"
    file = write("main_flow.py", code)
    assert build_artifact(file).spec.entrypoint.object == "mine"
    only_imported = write("reexport.py", "from library import shared")
    assert build_artifact(only_imported).spec.entrypoint.object == "shared"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1", "has no flow: expected a @flow function"),
        ("import no_such_module", "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def broken(:", "cannot be imported: SyntaxError"),
    ],
)
def test_a_file_without_a_usable_flow_is_refused(write: Any, code: str, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        build_artifact(write("bad_file.py", code))


def test_a_file_or_flow_that_does_not_exist_is_not_found(write: Any, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nothing.py is not a Python file: there is no such file"):
        build_artifact(tmp_path / "nothing.py")
    with pytest.raises(NotFoundError, match="has no flow 'other'; it has: etl"):
        build_artifact(write("etl.py", ETL.replace("from helpers import suffix", "")), flow="other")


@pytest.mark.parametrize(
    ("body", "tasks"),
    [
        ("def f(n: int = 2):\n    return [t() for _ in range(n)]", ["t", "t-2"]),
        ("def f(n):\n    return t()", None),
        ("def f(day=None):\n    return t() if day.weekday() else 1", None),
        ("def f(day=None):\n    return [t()]", ["t"]),
    ],
)
def test_tasks_of_a_function_are_those_of_its_defaults_or_unknown(
    write: Any, body: str, tasks: list[str] | None
) -> None:
    spec = build_artifact(write("a_flow.py", f"from dagy import flow, task\n@task\ndef t(): pass\n@flow\n{body}")).spec
    assert (None if spec.tasks is None else [task.name for task in spec.tasks]) == tasks


def test_defaults_that_are_not_json_are_written_as_null(write: Any) -> None:
    code = "from dagy import flow\nfrom pathlib import Path\n@flow\ndef f(a=Path('x'), b={'k': (1,)}): pass"
    parameters = spec_of(build_artifact(write("a_flow.py", code)))["parameters"]
    assert parameters == [
        {"name": "a", "required": False, "default": None},
        {"name": "b", "required": False, "default": {"k": [1]}},
    ]


def test_types_tags_and_options_are_in_the_spec(write: Any) -> None:
    code = """
    from dagy import flow, task

    @task(name="double it", executor="ecs", cpu=256, memory=512, retries=2, retry_delay_seconds=lambda n: [1] * n)
    def double(n): return 2 * n

    @flow(tags={"team": "data"}, fail_fast=False, max_workers=3)
    def doubled(n: int = 1, names: "list[str]" = ()):
        return {"both": [double(n), double(n)]}
    """
    spec = spec_of(build_artifact(write("doubled.py", code)))
    assert (spec["tags"], spec["fail_fast"], spec["max_workers"]) == ({"team": "data"}, False, 3)
    assert [parameter["type"] for parameter in spec["parameters"]] == ["int", "list[str]"]
    assert [(task["name"], task["task"], task["function"]) for task in spec["tasks"]] == [
        ("double it", "double it", "double"),
        ("double it-2", "double it", "double"),
    ]
    assert spec["tasks"][0]["options"] == {
        "executor": "ecs",
        "retries": 2,
        "retry_delay_seconds": [1, 1],
        "cpu": 256,
        "memory": 512,
    }
    assert spec["outputs"] == ["double it", "double it-2"]


def test_a_graph_that_can_never_run_is_refused_by_the_build(write: Any) -> None:
    code = "from dagy import flow, task\n@task\ndef t(x): pass\n@flow\ndef f(): return t()"
    with pytest.raises(GraphError, match="task 't': missing a required argument: 'x'"):
        build_artifact(write("a_flow.py", code))


@pytest.mark.parametrize("version", ["latest", "1/2", ""])
def test_a_version_that_cannot_be_registered_is_refused(write: Any, version: str) -> None:
    with pytest.raises(OptionError, match=f"version='{version}': expected"):
        build_artifact(write("a_flow.py", "from dagy import flow\n@flow\ndef f(): pass"), version)


LARGE = "from dagy import flow\n@flow(include='*.csv')\ndef f(): pass"


def test_an_artifact_over_the_limit_is_refused_with_its_largest_files(write: Any, tmp_path: Path) -> None:
    for name, size in (("small.csv", 10), ("large.csv", MAX_BYTES), ("medium.csv", 2000)):
        (tmp_path / name).write_bytes(b"x" * size)
    with pytest.raises(BuildError) as refused:
        build_artifact(write("a_flow.py", LARGE))
    message = str(refused.value)
    assert "the artifact of flow 'f' has 5,244,9" in message
    assert "more than DAGY_LOCAL_ARTIFACT_MAX_BYTES allows (5,242,880)" in message
    assert "Largest files: src/large.csv (5,242,880 bytes), src/medium.csv (2,000 bytes), src/" in message
    assert "Name what the flow does not need in .dagyignore" in message


def test_the_limit_is_of_the_whole_artifact_and_can_be_set(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.csv").write_bytes(b"x" * 1000)
    file = write("a_flow.py", LARGE)
    size = len(build_artifact(file).content)
    monkeypatch.setenv(MAX_BYTES_VARIABLE, str(size))
    assert len(build_artifact(file).content) == size
    monkeypatch.setenv(MAX_BYTES_VARIABLE, str(size - 1))
    with pytest.raises(BuildError, match=f"has {size:,} bytes, more than"):
        build_artifact(file)
    monkeypatch.setenv(MAX_BYTES_VARIABLE, "5 MB")
    with pytest.raises(BuildError, match="DAGY_LOCAL_ARTIFACT_MAX_BYTES='5 MB': expected a number of bytes above 0"):
        build_artifact(file)


def test_a_flow_of_a_package_is_built_from_the_top_of_its_package(write: Any) -> None:
    write("project/__init__.py", "")
    write("project/shared.py", "FACTOR = 3")
    write("project/unrelated.py", "1 / 0")
    write("project/flows/queue.py", "1 / 0")  # hides nothing: it is project.flows.queue
    write("project/flows/__init__.py", "")
    write("project/flows/helpers.py", "from ..shared import FACTOR")
    write("project/flows/beside.py", "# imported as a script would")
    code = "import beside, queue\nfrom dagy import flow\nfrom .helpers import FACTOR\n@flow\ndef f(): return FACTOR"
    artifact = build_artifact(write("project/flows/packaged.py", code))
    assert artifact.spec.entrypoint.file == "src/project/flows/packaged.py"
    assert list(artifact.files) == [
        "flow_spec.json",
        "src/project/__init__.py",
        "src/project/flows/__init__.py",
        "src/project/flows/beside.py",
        "src/project/flows/helpers.py",
        "src/project/flows/packaged.py",
        "src/project/shared.py",
    ]


@pytest.mark.parametrize("line", ["from .flows import packaged", "from . import flows\nPACKAGED = flows.packaged"])
def test_a_package_may_import_its_flow(write: Any, line: str) -> None:
    write("project/__init__.py", line)
    write("project/helpers.py", "def factor(): return 3")
    code = "from .helpers import factor\nfrom dagy import flow\n@flow\ndef packaged(): return factor()"
    artifact = build_artifact(write("project/flows.py", code))
    assert artifact.spec.entrypoint.object == "packaged"
    assert [name for name in artifact.files if name.startswith("src/")] == [
        "src/project/__init__.py",
        "src/project/flows.py",
        "src/project/helpers.py",
    ]


def test_a_package_that_needs_what_is_not_here_does_no_harm_to_its_flow(write: Any) -> None:
    write("project/__init__.py", "import not_installed_here")
    artifact = build_artifact(write("project/flows.py", "from dagy import flow\n@flow\ndef packaged(): return 1"))
    assert artifact.spec.name == "packaged"


def test_a_flow_of_a_package_runs_from_its_artifact(write: Any, tmp_path: Path) -> None:
    write("project/__init__.py", "")
    write("project/helpers.py", "def factor(): return 3")
    write("project/sql/query.sql", "select 1")
    code = """
    from pathlib import Path
    from dagy import flow, task
    from .helpers import factor

    @task
    def multiply(n):
        from project.helpers import factor as again
        return [n * factor() * again(), (Path(__file__).parent / "sql" / "query.sql").read_text()]

    @flow(include=["sql/*.sql"])
    def packaged(n: int = 2): return multiply(n)
    """
    artifact = build_artifact(write("project/packaged.py", code))
    unpacked = tmp_path / "unpacked"
    opened(artifact).extractall(unpacked)
    file = unpacked / artifact.spec.entrypoint.file
    running = (
        "import sys, pathlib; from dagy.loader import load_flows; "
        "print(load_flows(pathlib.Path(sys.argv[1]))['packaged'].run())"
    )
    done = subprocess.run([sys.executable, "-c", running, file], capture_output=True, text=True, check=False)
    assert done.stdout == "[18, 'select 1']\n", done.stderr
