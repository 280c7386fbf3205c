"""Artifacts and flow specs: what is inside, and that the same input gives the same bytes."""

from __future__ import annotations

import json
import os
import sys
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from dagy import FlowSpec, build_artifact
from dagy.build import Artifact
from dagy.errors import LoadError, SpecError
from dagy.sources import local_sources

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
    assert (metadata["schema"], metadata["flow"], metadata["version"]) == (1, "etl", "1.0.0")
    assert metadata["sources"]["src/helpers.py"] == sha256(HELPERS.encode()).hexdigest()
    assert artifact.sha256 == sha256(artifact.content).hexdigest()


def test_the_spec_tells_parameters_tasks_and_entrypoint(write: Any) -> None:
    write("helpers.py", HELPERS)
    artifact = build_artifact(write("etl.py", ETL))
    assert spec_of(artifact) == {
        "schema": 1,
        "name": "etl",
        "version": "1.0.0",
        "description": "",
        "parameters": [{"name": "source", "required": True}],
        "tasks": [
            {"name": "extract", "function": "extract", "upstream": [], "options": {"retries": 2}},
            {"name": "load", "function": "load", "upstream": ["extract"], "options": {}},
        ],
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
            "from dagy import flow\nfrom same_name import VERSION\nf = flow(version=VERSION)(lambda: 1)",
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
    write("library.py", "from dagy import flow\nshared = flow(lambda: 1)")
    file = write(
        "main_flow.py", "from dagy import flow\nfrom library import shared\nmine = alias = flow(lambda: shared())"
    )
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


def test_a_file_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"nothing.py is not a Python file"):
        build_artifact(tmp_path / "nothing.py")


@pytest.mark.parametrize(
    ("body", "tasks"),
    [
        ("def f(n: int = 2):\n    return [t() for _ in range(n)]", ["t", "t-2"]),
        ("def f(n):\n    return t()", None),
        ("def f(day=None):\n    return t() if day.weekday() else 1", None),
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


def test_local_modules_are_found_however_they_are_imported(write: Any) -> None:
    write("pkg/__init__.py", "from . import inner")
    write("pkg/inner.py", "from .sub.leaf import x")
    write("pkg/sub/__init__.py", "")
    write("pkg/sub/leaf.py", "from ..sibling import y\nx = y")
    write("pkg/sibling.py", "import json, os.path\ny = 1")
    write("lazy.py", "import flat")
    write("flat.py", "import lazy")
    write("namespace/part.py", "")
    write("unused.py", "")
    file = write("main_flow.py", "import pkg\ndef f():\n    import lazy\n    from namespace import part\n")
    assert list(local_sources(file)) == [
        "flat.py",
        "lazy.py",
        "main_flow.py",
        "namespace/part.py",
        "pkg/__init__.py",
        "pkg/inner.py",
        "pkg/sibling.py",
        "pkg/sub/__init__.py",
        "pkg/sub/leaf.py",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object, got list"),
        ('{"schema": 2}', "schema 2 is not supported; this side reads 1"),
        ('{"schema": 1}', "missing 'tasks'"),
        (
            (
                '{"schema": 1, "tasks": 3, "entrypoint": {"file": "", "object": ""}, "name": "", "version": "",'
                ' "parameters": []}'
            ),
            "not iterable",
        ),
    ],
)
def test_a_document_that_is_not_a_flow_spec_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        FlowSpec.from_json(text)
