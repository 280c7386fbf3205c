"""Artifacts from outside: what makes them bad, seen from inside one process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from dagy.spec import Entrypoint, FlowSpec
from dagy_worker.artifact import load_artifact
from dagy_worker.errors import BadArtifact


@pytest.fixture(autouse=True)
def _own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def an_artifact(write: Any, tmp_path: Path, code: str, *, file: str = "src/art.py", name: str = "f") -> Path:
    write("artifact/src/art.py", code)
    spec = FlowSpec(name="f", version="1", entrypoint=Entrypoint(file=file, object=name))
    write("artifact/flow_spec.json", spec.to_json())
    return tmp_path / "artifact"


def test_a_flow_is_loaded_with_src_first_on_the_path(write: Any, tmp_path: Path) -> None:
    root = an_artifact(write, tmp_path, "from dagy import flow\nf = flow(lambda: 7)")
    assert load_artifact(root).run() == 7
    assert sys.path[0] == str(root / "src")


@pytest.mark.parametrize(
    ("code", "changes", "message"),
    [
        ("1 / 0", {}, "cannot be imported: ZeroDivisionError"),
        ("f = 1", {}, "has no flow"),
        ("from dagy import flow\ng = flow(lambda: 7)", {}, "has no flow 'f'"),
        ("", {"file": "src/other.py"}, "is not a Python file"),
        ("", {"file": "../outside.py"}, "entrypoint.file='../outside.py' is outside the artifact"),
    ],
)
def test_an_artifact_without_its_flow_is_bad(
    write: Any, tmp_path: Path, code: str, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(BadArtifact, match=message):
        load_artifact(an_artifact(write, tmp_path, code, **changes))


def test_an_artifact_without_a_readable_spec_is_bad(write: Any, tmp_path: Path) -> None:
    root = an_artifact(write, tmp_path, "")
    write("artifact/flow_spec.json", '{"schema": 7}')
    with pytest.raises(BadArtifact, match="schema 7 is not supported"):
        load_artifact(root)
    (root / "flow_spec.json").unlink()
    with pytest.raises(BadArtifact, match=r"flow_spec\.json"):
        load_artifact(root)
