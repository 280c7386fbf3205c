"""The Dockerfiles: good practice by hadolint, and what the images promise."""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.image.dockerfile_kit import ROOT, SERVICE, WORKER, stages

FILES = pytest.mark.parametrize("file", [WORKER, SERVICE], ids=["worker", "service"])
HADOLINT = Path(sys.executable).parent / "hadolint"


@FILES
def test_hadolint_finds_nothing(file: Path) -> None:
    done = subprocess.run([HADOLINT, str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@FILES
def test_every_stage_begins_with_the_pinned_base_or_with_another_stage(file: Path) -> None:
    found = stages(file)
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+-slim-\w+$", file.read_text(), re.MULTILINE)
    names = {stage.name for stage in found if stage.name}
    assert {stage.base for stage in found} <= {"${PYTHON_IMAGE}", *names}


@FILES
def test_only_what_was_pinned_with_its_hash_or_comes_from_this_checkout_is_installed(file: Path) -> None:
    runs = [run for stage in stages(file) for run in stage.values("RUN")]
    installs = [part for run in runs for part in run.split("&&") if "pip install" in part]
    assert installs
    for install in installs:
        assert "--require-hashes" in install or "--no-index --no-deps /src/wheels/" in install
        assert "--index" not in install


@FILES
def test_the_last_stages_have_no_build_tools_and_install_nothing(file: Path) -> None:
    for stage in stages(file):
        if stage.name.startswith("build"):
            continue
        assert not [run for run in stage.values("RUN") if "pip" in run or "apt-get" in run]
        for copied in stage.values("COPY"):
            assert re.fullmatch(
                r"--from=build(-local)? (/usr/bin/tini-static /usr/local/bin/tini|/opt/dagy /opt/dagy)", copied
            )


@FILES
def test_a_container_is_nobody_in_particular_and_is_told_to_stop_by_sigterm(file: Path) -> None:
    (stage,) = [stage for stage in stages(file) if stage.values("USER")]
    assert stage.values("USER") == ["10001:10001"]
    assert stage.values("STOPSIGNAL") == ["SIGTERM"]
    assert stage.words("ENTRYPOINT") == ["tini", "-s", "--"]
    assert stage.values("VOLUME") == ['["/tmp"]']
    assert stage.environment()["HOME"] == "/tmp"  # noqa: S108 - the only place it may write to
    assert "PYTHONPYCACHEPREFIX" not in stage.environment()  # it would hide the bytecode that is there


@FILES
def test_the_image_says_what_it_was_made_from(file: Path) -> None:
    last = stages(file)[-1]
    labels = " ".join(label for stage in stages(file) for label in stage.values("LABEL"))
    for name in ("CREATED", "REVISION", "SOURCE", "VERSION"):
        assert f'{name}=""' in last.values("ARG")
        assert f'org.opencontainers.image.{name.lower()}="${{{name}}}"' in labels
    # What changes with every commit comes last, so that nothing is built anew for it.
    assert last.instructions[-1].name == "LABEL"


def test_the_worker_is_what_runs_unless_the_container_has_another_command() -> None:
    assert stages(WORKER)[-1].words("CMD") == ["python", "-m", "dagy_worker"]


@pytest.mark.parametrize(("file", "context"), [(WORKER, "worker_image"), (SERVICE, ".")], ids=["worker", "service"])
def test_the_context_is_what_is_copied_and_nothing_else(file: Path, context: str) -> None:
    directory = ROOT / context
    lines = [line for line in (directory / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for stage in stages(file)
        for value in stage.values("COPY")
        if not value.startswith("--from")
        for source in value.split()[:-1]
    }
    assert all((directory / source).exists() for source in copied)
    assert let_in == {source for source in copied if not any(source.startswith(f"{other}/") for other in copied)}
    assert any(fnmatchcase("dagy/x.pyc", line.removeprefix("**/")) for line in lines)
