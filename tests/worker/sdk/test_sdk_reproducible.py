"""The same input gives the same bytes, wherever, whenever and by whomever it is built; the commit is noted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from dagy import build_artifact, provenance
from dagy.cli import main

FLOW = """
from dagy import DAG, task
import pkg, beside

@task(tags={"b": "2", "a": "1"}, retries=1)
def give(x): return x

with DAG("f", version="1", parameters={"z": 1, "a": {"k": [1]}}, tags={"y": "1", "x": "2"}) as dag:
    give("{{ parameters.z }}")
"""
FILES = {
    "flow_file.py": FLOW,
    "beside.py": "import pkg.deep.er",
    "pkg/__init__.py": "",
    "pkg/ä.txt": "ü",
    "pkg/deep/__init__.py": "",
    "pkg/deep/er.py": "",
    "pkg/data.bin": "\x00\x01",
}
OUTSIDE_OF_GIT = {"GIT_CEILING_DIRECTORIES": "/", "GIT_DIR": "/nonexistent"}


def project(directory: Path, names: list[str]) -> Path:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FILES[name], encoding="utf-8")
    return directory / "flow_file.py"


def built_by_command(file: Path, **environment: str) -> tuple[str, bytes]:
    target = file.parent.parent / f"{file.parent.name}.zip"
    command = [Path(sys.executable).with_name("dagy"), "build", file, "-o", target, "--version", "3"]
    variables = {**os.environ, **OUTSIDE_OF_GIT, **environment}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    return done.stdout.strip(), target.read_bytes()


def test_neither_place_nor_time_order_umask_locale_or_hash_seed_change_a_byte(tmp_path: Path) -> None:
    first = built_by_command(project(tmp_path / "one", list(FILES)), PYTHONHASHSEED="1", LC_ALL="C.UTF-8")
    file = project(tmp_path / "an other", list(reversed(FILES)))
    for path in file.parent.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1, 1))
    (file.parent / "pkg" / "__pycache__").mkdir()
    (file.parent / "pkg" / "__pycache__" / "er.cpython-311.pyc").write_bytes(b"stale")
    before = os.umask(0o077)
    try:
        again = built_by_command(file, PYTHONHASHSEED="2", LC_ALL="C", TZ="Asia/Tokyo", PYTHONUTF8="0")
    finally:
        os.umask(before)
    assert again == first
    assert built_by_command(file, PYTHONDONTWRITEBYTECODE="1", PYTHONOPTIMIZE="2", LANG="tr_TR.UTF-8") == first


def test_entries_carry_no_times_modes_or_compression(tmp_path: Path) -> None:
    archive = ZipFile(BytesIO(build_artifact(project(tmp_path / "one", list(FILES))).content))
    entries = archive.infolist()
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {(e.date_time, e.external_attr >> 16, e.compress_type, e.create_system) for e in entries} == {
        ((1980, 1, 1, 0, 0, 0), 0o100644, 0, 3)
    }
    assert archive.read("src/pkg/ä.txt").decode() == "ü"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the flow in a directory of it, all committed."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    project(tmp_path / "repository" / "flows", list(FILES))
    (tmp_path / "repository" / "README").write_text("")
    git(tmp_path / "repository", "init", "--quiet")
    commit(tmp_path / "repository")
    return tmp_path / "repository"


def git(directory: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *who, *arguments], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(directory: Path) -> None:
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--allow-empty", "--message", "a change")


def git_in(directory: Path) -> Any:
    artifact = build_artifact(directory / "flows" / "flow_file.py")
    return json.loads(ZipFile(BytesIO(artifact.content)).read("metadata.json"))["git"]


def test_the_commit_is_in_the_metadata_and_whether_the_flow_s_files_are_those_of_it(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert git_in(repository) == {"commit": head, "dirty": False}
    (repository / "README").write_text("changed, but no part of the flow")
    (repository / "flows" / "unused.py").write_text("new, but no part of the flow")
    assert git_in(repository) == {"commit": head, "dirty": False}
    (repository / "flows" / "beside.py").write_text("")
    assert git_in(repository) == {"commit": head, "dirty": True}
    commit(repository)
    assert git_in(repository)["dirty"] is False
    (repository / "flows" / "pkg" / "new.txt").write_text("")
    assert git_in(repository)["dirty"] is True
    (repository / ".gitignore").write_text("new.txt\n")
    commit(repository)
    assert git_in(repository)["dirty"] is True


def test_the_command_says_that_the_artifact_is_not_that_of_the_commit(repository: Path, capsys: Any) -> None:
    command = ["build", str(repository / "flows" / "flow_file.py"), "-o", str(repository / "a.zip")]
    assert main(command) == 0
    assert "note:" not in capsys.readouterr().err
    (repository / "flows" / "beside.py").write_text("")
    assert main(command) == 0
    head = git(repository, "rev-parse", "HEAD")
    assert f"note: the artifact has changes that are not in commit {head[:12]}" in capsys.readouterr().err


def test_another_commit_changes_the_artifact_but_not_the_hash_of_its_content(repository: Path) -> None:
    before = build_artifact(repository / "flows" / "flow_file.py")
    commit(repository)
    after = build_artifact(repository / "flows" / "flow_file.py")
    assert before.sha256 != after.sha256
    assert before.content_sha256 == after.content_sha256
    (repository / "flows" / "beside.py").write_text("# changed")
    assert build_artifact(repository / "flows" / "flow_file.py").content_sha256 != after.content_sha256


def test_a_repository_without_a_commit_no_git_and_a_hanging_git_are_no_obstacle(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.rmtree(repository / ".git")
    git(repository, "init", "--quiet")
    assert git_in(repository) is None
    slow = tmp_path / "bin" / "git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(provenance, "_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    assert git_in(repository) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_in(repository) is None
