"""Dependency packages: made importable, requirements installed, failures named."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from dagy.contract import Env
from tests.worker.entrypoint.conftest import Worker, write_zip

USING = """
from dagy import flow

@flow
def using():
    import {0}
    return {0}.NAME
"""
OFFLINE = {"PIP_NO_INDEX": "1"}


def a_wheel(path: Path, name: str) -> bytes:
    """Return the smallest wheel that pip accepts, with one module in it."""
    info = f"{name}-1.0.dist-info"
    entries = {
        f"{name}.py": "NAME = 'from the wheel'",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{entry},,\n" for entry in [*entries, f"{info}/RECORD"])
    return write_zip(path, {**entries, f"{info}/RECORD": record})


def a_tar(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def test_the_modules_of_a_zip_can_be_imported(worker: Worker, tmp_path: Path) -> None:
    entries = {"__init__.py": "", "requirements.txt": "# nothing\n\n", "dep_in_zip/__init__.py": "NAME = 'zip'"}
    uri = worker.objects.put("deps.zip", write_zip(tmp_path / "deps.zip", entries))
    done = worker.run(worker.spec(USING.format("dep_in_zip"), dep_package_uris=[uri]))
    assert done.report.result == "zip"
    assert done.events("package_installed")[0]["message"] == f"installed {uri}"


def test_requirements_are_installed_also_from_a_tar_with_a_top_directory(worker: Worker, tmp_path: Path) -> None:
    wheel = a_wheel(tmp_path / "wheel.zip", "dep_in_wheel")
    requirements = b"--find-links wheels\ndep_in_wheel==1.0\n"
    archive = a_tar(
        {"my-deps/requirements.txt": requirements, "my-deps/wheels/dep_in_wheel-1.0-py3-none-any.whl": wheel}
    )
    uri = worker.objects.put("deps.tar.gz", archive)
    environ = {Env.DEP_PACKAGE_URIS: uri, **OFFLINE}
    done = worker.run(worker.spec(USING.format("dep_in_wheel")), **environ)
    assert done.exit_code == 0, done.output
    assert done.report.result == "from the wheel"


def test_requirements_that_cannot_be_installed_exit_3_with_pip_s_words(worker: Worker, tmp_path: Path) -> None:
    uri = worker.objects.put("deps.zip", write_zip(tmp_path / "d.zip", {"requirements.txt": "no-such-thing-at-all"}))
    done = worker.run(worker.spec(USING.format("x"), dep_package_uris=[uri]), **OFFLINE)
    assert done.exit_code == 3
    assert done.report.error is not None
    assert done.report.error.type == "DependencyFailed"
    assert f"dependency package {uri}: pip failed with 1" in done.report.error.message
    assert "no-such-thing-at-all" in done.report.error.message


def test_a_package_that_is_missing_or_no_archive_exits_3(worker: Worker) -> None:
    for uri, problem in (
        (worker.objects.uri("nothing.zip"), "cannot read"),
        (worker.objects.put("text.zip", b"not an archive"), "neither a ZIP nor a tar file"),
    ):
        done = worker.run(worker.spec(USING.format("x"), dep_package_uris=[uri]))
        assert done.exit_code == 3
        assert done.report.error is not None
        assert problem in done.report.error.message
