"""The worker's image, made as its Dockerfile says: `pip install dagy-worker` on a bare base, and what runs in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from dagy.build import build_artifact
from dagy.contract import Env, RunReport, RunSpec
from dagy_queue import DagLauncher
from dagy_queue.local.environment import environ
from dagy_queue.local.stack import LocalStack
from dagy_queue.operate.flows import push_flow
from tests.image.conftest import IMAGE
from tests.image.dockerfile_kit import Emulated
from tests.integration.waiting import eventually

FLOW = """
import os, pathlib, sys, time
from dagy import flow, task


def attempt(path):
    try:
        pathlib.Path(path).write_text("x")
    except OSError as exc:
        return exc.strerror
    return "written"


@task
def look():
    return {
        "uid": os.getuid(),
        "home": os.environ["HOME"],
        "scratch": attempt("/tmp/scratch"),
        "image": attempt("/opt/dagy/mark"),
        "root": attempt("/var/tmp/mark"),
        "python": sys.executable,
        "sdk": sys.modules["dagy"].__file__,
        "bytecode": pathlib.Path(sys.modules["dagy"].__cached__).exists(),
    }


@flow(name="surroundings", version="1.0.0")
def surroundings():
    return look()


@task
def wait():
    print("waiting")
    time.sleep(600)


@flow(name="waiting", version="1.0.0")
def waiting():
    return wait()
"""
READ_ONLY = "Read-only file system"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "flows.py"
    file.write_text(FLOW)
    return file


@pytest.fixture
def here(cluster: LocalStack) -> Iterator[LocalStack]:
    """The cluster, with this process's environment leading to it."""
    with environ(cluster.environment):
        yield cluster


def test_a_flow_runs_in_a_users_own_image_that_cannot_be_written_to(here: LocalStack, file: Path) -> None:
    push_flow(here.settings(), file, org_id="acme", flow="surroundings")
    launcher = DagLauncher(here.settings())
    run = launcher.enqueue(flow_name="surroundings", org_id="acme", worker_image=f"{IMAGE}:1")
    try:
        assert run.get(timeout=90) == {
            "uid": 10001,
            "home": "/tmp",  # noqa: S108 - the only place it may write to
            "scratch": "written",
            "image": READ_ONLY,
            "root": READ_ONLY,
            "python": "/opt/dagy/bin/python",
            "sdk": f"/opt/dagy/lib/python{sysconfig.get_python_version()}/site-packages/dagy/__init__.py",
            "bytecode": True,
        }
    finally:
        launcher.publisher.redis.close()


class Container:
    """One container of the image, started as an engine does it, on a spec in the local stack's S3."""

    def __init__(self, stack: LocalStack, image: Emulated, file: Path, flow: str) -> None:
        self._s3 = boto3.client("s3")
        self._bucket = stack.settings().storage.artifact_bucket
        artifact = build_artifact(file, flow=flow)
        self._s3.put_object(Bucket=self._bucket, Key=f"image/{flow}.zip", Body=artifact.content)
        spec = RunSpec(
            run_id="run-1",
            attempt=1,
            org_id="acme",
            flow_name=flow,
            flow_version="1.0.0",
            artifact_uri=f"s3://{self._bucket}/image/{flow}.zip",
            artifact_sha256=artifact.sha256,
            result_uri=f"s3://{self._bucket}/image/{flow}.json",
        )
        self._key = f"image/{flow}.json"
        environment = {"PATH": os.environ["PATH"], **stack.environment, Env.RUN_SPEC: spec.to_json()}
        self.process = subprocess.Popen(image.command(), env=environment, stdout=subprocess.PIPE, text=True)

    def report(self) -> RunReport:
        answer: Any = self._s3.get_object(Bucket=self._bucket, Key=self._key)
        self._s3.close()
        return RunReport.from_json(answer["Body"].read().decode())


def test_the_image_answers_a_spec_with_its_report(here: LocalStack, emulated: Emulated, file: Path) -> None:
    container = Container(here, emulated, file, "surroundings")
    output, _ = container.process.communicate(timeout=60)
    assert container.process.returncode == 0, output
    assert container.report().result["uid"] == 10001
    assert all(json.loads(line)["run_id"] == "run-1" for line in output.splitlines())


def test_a_container_that_is_told_to_stop_reports_and_exits_with_143(
    here: LocalStack, emulated: Emulated, file: Path
) -> None:
    container = Container(here, emulated, file, "waiting")
    stream = container.process.stdout
    assert stream is not None
    eventually(lambda: "waiting" in json.loads(stream.readline())["message"], "the task waits")
    container.process.send_signal(signal.SIGTERM)
    output, _ = container.process.communicate(timeout=30)
    assert container.process.returncode == 143, output
    error = container.report().error
    assert error is not None
    assert error.type == "Terminated"


def test_without_a_spec_it_says_what_is_missing(emulated: Emulated) -> None:
    done = subprocess.run(
        emulated.command(), env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "neither DAGY_RUN_SPEC nor DAGY_RUN_SPEC_URI is set" in done.stdout


def test_it_has_the_sdk_and_pip_for_dependency_packages_and_nothing_of_the_queue(emulated: Emulated) -> None:
    listed = subprocess.run(
        emulated.command("python", "-m", "pip", "list", "--format=json"),
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    names = {each["name"] for each in json.loads(listed.stdout)}
    assert {"boto3", "dagy-worker", "pip"} <= names
    assert not {"celery", "dagy-queue", "hatchling", "redis"} & names


def test_everything_in_it_is_compiled_in_a_way_that_copying_does_not_undo(emulated: Emulated) -> None:
    site = emulated.python.parent.parent / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    for package in ("dagy", "dagy_worker", "botocore"):
        for source in (site / package).glob("*.py"):
            header = (source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc").read_bytes()
            assert int.from_bytes(header[4:8], "little") == 1, source  # PEP 552: by hash, and not checked
