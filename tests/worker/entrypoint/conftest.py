"""S3 over real HTTP, and the worker as a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from dagy.build import build_artifact
from dagy.contract import Env, RunReport, RunSpec
from tests.worker.conftest import Write

BUCKET = "dagy-test"


class Objects:
    """The bucket of the tests, below a prefix that is one test's own."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._prefix = uuid4().hex

    def uri(self, name: str) -> str:
        """Return the URI of an object that may or may not exist."""
        return f"s3://{BUCKET}/{self._prefix}/{name}"

    def put(self, name: str, content: bytes) -> str:
        """Store an object and return its URI."""
        self._client.put_object(Bucket=BUCKET, Key=f"{self._prefix}/{name}", Body=content)
        return self.uri(name)

    def get(self, name: str) -> bytes | None:
        """Return an object's content, or None if there is none."""
        try:
            content: bytes = self._client.get_object(Bucket=BUCKET, Key=f"{self._prefix}/{name}")["Body"].read()
        except ClientError:
            return None
        return content


@dataclass(frozen=True)
class Done:
    """What is left of a worker that has ended."""

    exit_code: int
    output: str
    objects: Objects

    @property
    def report(self) -> RunReport:
        content = self.objects.get("run.json")
        assert content is not None, self.output
        return RunReport.from_json(content.decode())

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines()]

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event_type"] in kinds]


class Worker:
    """Starts the worker the way a container does."""

    def __init__(self, aws: Mapping[str, str], objects: Objects, write: Write) -> None:
        self.objects = objects
        self._aws = aws
        self._write = write

    def spec(self, code: str, parameters: Mapping[str, Any] | None = None, **fields: Any) -> RunSpec:
        """Build and upload the flow in ``code``, and return the spec of a run of it."""
        artifact = build_artifact(self._write(f"flow_{uuid4().hex}/the_flow.py", code))
        defaults: dict[str, Any] = {
            "artifact_uri": self.objects.put("artifact.zip", artifact.content),
            "artifact_sha256": artifact.sha256,
            "result_uri": self.objects.uri("run.json"),
        }
        return RunSpec(
            run_id="run-1",
            attempt=2,
            org_id="acme",
            correlation_id="corr",
            flow_name=artifact.spec.name,
            flow_version=artifact.spec.version,
            parameters=dict(parameters or {}),
            **{**defaults, **fields},
        )

    def start(self, spec: RunSpec | None, **environ: str) -> subprocess.Popen[str]:
        """Start the worker on a spec."""
        given = {} if spec is None else {Env.RUN_SPEC: spec.to_json()}
        return subprocess.Popen(
            [sys.executable, "-m", "dagy_worker"],
            env={**os.environ, **self._aws, **given, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    def run(self, spec: RunSpec | None, **environ: str) -> Done:
        """Run the worker to its end."""
        return self.finish(self.start(spec, **environ))

    def finish(self, process: subprocess.Popen[str], before: str = "") -> Done:
        """Wait for a started worker."""
        output, _ = process.communicate(timeout=60)
        return Done(process.returncode, before + output, self.objects)


@pytest.fixture(scope="session")
def aws() -> Iterator[dict[str, str]]:
    """The environment of an AWS account that has one empty bucket."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environ = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    _client(environ).create_bucket(Bucket=BUCKET)
    yield environ
    server.stop()


@pytest.fixture
def objects(aws: dict[str, str]) -> Objects:
    return Objects(_client(aws))


@pytest.fixture
def worker(aws: dict[str, str], objects: Objects, write: Write) -> Worker:
    return Worker(aws, objects, write)


@pytest.fixture
def in_aws(aws: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Put this process into the account."""
    for name, value in aws.items():
        monkeypatch.setenv(name, value)


def _client(environ: Mapping[str, str]) -> Any:
    return boto3.Session().client(
        "s3",
        region_name=environ["AWS_REGION"],
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def write_zip(path: Path, entries: Mapping[str, str]) -> bytes:
    """Write a ZIP of text files and return its bytes."""
    from zipfile import ZipFile

    with ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path.read_bytes()
