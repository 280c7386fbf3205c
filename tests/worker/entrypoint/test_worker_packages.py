"""Dependency packages: made importable, requirements installed, failures named."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from dagy.contract import Env, RunSpec
from tests.worker.entrypoint.conftest import Worker, write_zip
from tests.worker.entrypoint.http_kit import Answer, Request, serving

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
    assert f"dependency package {uri}: pip failed with exit code 1: " in done.report.error.message
    assert "no-such-thing-at-all" in done.report.error.message


def test_a_package_that_is_missing_or_no_archive_exits_3(worker: Worker) -> None:
    for uri, problem in (
        (worker.objects.uri("nothing.zip"), "cannot read"),
        (worker.objects.put("text.zip", b"not an archive"), "neither a ZIP, a tar nor a tar.gz file"),
    ):
        done = worker.run(worker.spec(USING.format("x"), dep_package_uris=[uri]))
        assert done.exit_code == 3
        assert done.report.error is not None
        assert problem in done.report.error.message


def test_a_package_with_another_hash_than_is_registered_exits_3(worker: Worker, tmp_path: Path) -> None:
    content = write_zip(tmp_path / "deps.zip", {"dep.py": "NAME = 'x'"})
    uri = worker.objects.put("deps.zip", content)
    good, bad = hashlib.sha256(content).hexdigest(), "0" * 64
    assert worker.run(using(worker, "dep", uri, good.upper())).exit_code == 0
    done = worker.run(using(worker, "dep", uri, bad))
    assert done.exit_code == 3
    assert done.report.error is not None
    assert done.report.error.message == f"dependency package {uri}: its SHA-256 is {good}, and {bad} is registered"


@pytest.mark.parametrize("kind", ["zip slip", "link", "bomb", "twice", "nothing"])
def test_malicious_archives_end_a_run_as_package_and_as_artifact(worker: Worker, tmp_path: Path, kind: str) -> None:
    content, problem = malicious(kind, tmp_path / "archive")
    uri = worker.objects.put("malicious", content)
    spec = worker.spec(USING.format("x"))
    as_package = replace(spec, dep_package_uris=[uri])
    as_artifact = replace(spec, artifact_uri=uri, artifact_sha256="")
    for malicious_spec, exit_code, type_ in ((as_package, 3, "DependencyFailed"), (as_artifact, 2, "BadArtifact")):
        done = worker.run(malicious_spec)
        assert done.exit_code == exit_code, done.output
        assert done.report.error is not None
        assert done.report.error.type == type_
        assert problem in done.report.error.message
        assert done.report.tasks == {}
    assert not Path("/tmp/evil-of-the-tests").exists()  # noqa: S108 - where the archive would have it


def malicious(kind: str, path: Path) -> tuple[bytes, str]:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "zip slip":
            archive.writestr("../../../../../../../../tmp/evil-of-the-tests", "x")
        elif kind == "link":
            link = ZipInfo("link")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
        elif kind == "bomb":
            archive.writestr("zeros", bytes(100 << 20))
        elif kind == "twice":
            archive.writestr("src/the_flow.py", "1")
            archive.writestr("src/the_flow.py", "2")
    problems = {
        "zip slip": "leads out of the archive",
        "link": "is a link or a device",
        "bomb": "as a decompression bomb has",
        "twice": "is there twice",
        "nothing": "neither a ZIP, a tar nor a tar.gz file",
    }
    return b"" if kind == "nothing" else path.read_bytes(), problems[kind]


def using(worker: Worker, module: str, uri: str, sha256: str = "", **fields: Any) -> RunSpec:
    sha256s = [sha256] if sha256 else []
    return worker.spec(USING.format(module), dep_package_uris=[uri], dep_package_sha256s=sha256s, **fields)


class Index:
    """A package index with one wheel, as PEP 503 has it."""

    def __init__(self, wheel: bytes) -> None:
        self.wheel = wheel
        self.asked: list[str] = []

    def answer(self, request: Request) -> Answer:
        self.asked.append(request.path)
        if request.path.endswith(".whl"):
            return Answer(body=self.wheel)
        link = b'<a href="/files/dep_in_wheel-1.0-py3-none-any.whl">dep_in_wheel-1.0-py3-none-any.whl</a>'
        return Answer(body=link, headers={"Content-Type": "text/html"})


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[Index, dict[str, str]]]:
    index = Index(a_wheel(tmp_path / "wheel.zip", "dep_in_wheel"))
    with serving() as server:
        server.before = lambda request: server.answers.__setitem__(0, index.answer(request))
        yield index, {"PIP_INDEX_URL": f"{server.url}/simple", "PIP_CONFIG_FILE": os.devnull}


def test_the_index_is_the_one_that_pip_finds_in_the_environment(
    worker: Worker, tmp_path: Path, index: tuple[Index, dict[str, str]]
) -> None:
    served, environ = index
    content = write_zip(tmp_path / "deps.zip", {"requirements.txt": "dep-in-wheel==1.0"})
    done = worker.run(using(worker, "dep_in_wheel", worker.objects.put("deps.zip", content)), **environ)
    assert done.exit_code == 0, done.output
    assert served.asked[0].startswith("/simple/dep-in-wheel")


def test_a_package_that_is_installed_is_not_installed_again(
    worker: Worker, tmp_path: Path, index: tuple[Index, dict[str, str]]
) -> None:
    served, environ = index
    content = write_zip(tmp_path / "deps.zip", {"requirements.txt": "dep-in-wheel==1.0"})
    uri, sha256 = worker.objects.put("deps.zip", content), hashlib.sha256(content).hexdigest()
    environ = {**environ, Env.PACKAGE_CACHE: str(tmp_path / "kept")}
    first = worker.run(using(worker, "dep_in_wheel", uri), **environ)
    asked = len(served.asked)
    by_download = worker.run(using(worker, "dep_in_wheel", uri), **environ)
    by_hash = worker.run(using(worker, "dep_in_wheel", worker.objects.uri("gone.zip"), sha256), **environ)
    for done in (first, by_download, by_hash):
        assert done.exit_code == 0, done.output
        assert done.report.result == "from the wheel"
    assert len(served.asked) == asked
    was_cached = [done.events("package_installed")[0]["was_cached"] for done in (first, by_download, by_hash)]
    assert was_cached == [False, True, True]
    other_org = worker.run(using(worker, "dep_in_wheel", uri, org_id="other"), **environ)
    assert other_org.events("package_installed")[0]["was_cached"] is False
    assert {entry.name for entry in (tmp_path / "kept").iterdir()} == {"acme", "other"}


def test_shards_of_one_container_and_the_processes_that_follow_a_crash_share_packages(
    worker: Worker, tmp_path: Path, index: tuple[Index, dict[str, str]]
) -> None:
    served, environ = index
    content = write_zip(tmp_path / "deps.zip", {"requirements.txt": "dep-in-wheel==1.0"})
    plain = "import os\nfrom dagy import flow\n@flow\ndef f(n: int):\n    return os._exit(9) if n == 1 else n"
    code = f"import dep_in_wheel\n{plain}"
    crew = [
        {"run_id": f"run-{n}", "parameters": {"n": n}, "result_uri": worker.objects.uri(f"run-{n}.json")}
        for n in (1, 2)
    ]
    spec = worker.with_source(worker.spec(plain), code)
    spec = replace(spec, parameters={"n": 0}, crew=crew, dep_package_uris=[worker.objects.put("deps.zip", content)])
    done = worker.run(spec, **environ)
    assert [done.report.result, worker.report("run-2.json").result] == [0, 2], done.output
    assert len([path for path in served.asked if path.endswith(".whl")]) == 1
    assert [line["was_cached"] for line in done.events("package_installed")] == [False, True]


def test_processes_that_a_flow_starts_have_the_packages_too(worker: Worker, tmp_path: Path) -> None:
    entries = {"dep.py": "NAME = 'in a child'"}
    uri = worker.objects.put("deps.zip", write_zip(tmp_path / "deps.zip", entries))
    code = """
    import subprocess, sys
    from dagy import flow

    @flow
    def starting():
        return subprocess.check_output([sys.executable, "-c", "import dep; print(dep.NAME)"], text=True).strip()
    """
    done = worker.run(worker.spec(code, dep_package_uris=[uri]))
    assert done.report.result == "in a child"


def test_earlier_packages_win(worker: Worker, tmp_path: Path) -> None:
    uris = [
        worker.objects.put(f"{n}.zip", write_zip(tmp_path / f"{n}.zip", {"dep.py": f"NAME = {n}"})) for n in range(2)
    ]
    assert worker.run(worker.spec(USING.format("dep"), dep_package_uris=uris)).report.result == 0
