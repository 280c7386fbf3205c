"""S3 over real HTTP, and the worker as a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from dagy.build import build_artifact
from dagy.contract import Env, RunReport, RunSpec
from tests.worker.conftest import Write

BUCKET = "dagy-test"
RUNS_TABLE, TASK_RUNS_TABLE = "DAGY_RUNS", "DAGY_TASK_RUNS"
SECONDS = 90
COMMAND = (sys.executable, "-m", "dagy_worker")


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


class Running:
    """A worker under way, and what it has said so far."""

    def __init__(self, command: tuple[str, ...], environ: Mapping[str, str], objects: Objects) -> None:
        self._objects = objects
        self._said: list[str] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process: the container's first."""
        return self._process.pid

    def until(self, text: str, times: int = 1) -> str:
        """Wait until a text has been said so often; return all that has been said."""
        with self._news:
            assert self._news.wait_for(lambda: "".join(self._said).count(text) >= times, SECONDS), "".join(self._said)
            return "".join(self._said)

    def signal(self, number: int) -> None:
        """Send a signal to the container's first process."""
        self._process.send_signal(number)

    def finish(self) -> Done:
        """Wait for the end."""
        try:
            code = self._process.wait(SECONDS)
        finally:
            self._process.kill()
            self._reader.join(SECONDS)
        return Done(code, "".join(self._said), self._objects)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                with self._news:
                    self._said.append(line)
                    self._news.notify_all()


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
        common: dict[str, Any] = {
            "run_id": "run-1",
            "attempt": 2,
            "org_id": "acme",
            "correlation_id": "corr",
            "flow_name": artifact.spec.name,
            "flow_version": artifact.spec.version,
            "parameters": dict(parameters or {}),
        }
        return RunSpec(**{**common, **defaults, **fields})

    def with_source(self, spec: RunSpec, code: str) -> RunSpec:
        """Return a spec whose artifact has another source than it was built from."""
        content = self.objects.get("artifact.zip")
        assert content is not None
        entries = {}
        with ZipFile(BytesIO(content)) as archive:
            entries = {name: archive.read(name).decode() for name in archive.namelist()}
        path = self._write(f"artifact_{uuid4().hex}.zip", "")
        changed = write_zip(path, {**entries, "src/the_flow.py": code})
        return replace(spec, artifact_uri=self.objects.put("changed.zip", changed), artifact_sha256="")

    def report(self, name: str) -> RunReport:
        """Return the report that an object holds."""
        content = self.objects.get(name)
        assert content is not None
        return RunReport.from_json(content.decode())

    def start(self, spec: RunSpec | None, command: tuple[str, ...] = COMMAND, **environ: str) -> Running:
        """Start the worker on a spec."""
        given = {} if spec is None else {Env.RUN_SPEC: spec.to_json()}
        return Running(command, {**os.environ, **self._aws, **given, **environ}, self.objects)

    def run(self, spec: RunSpec | None, **environ: str) -> Done:
        """Run the worker to its end."""
        return self.start(spec, **environ).finish()


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


@pytest.fixture(scope="session")
def records(aws: dict[str, str]) -> Any:
    """boto3's DynamoDB, with the tables of runs and of their tasks."""
    dynamodb = _session().resource("dynamodb", **_place(aws))
    for table, keys in ((RUNS_TABLE, ["run_id"]), (TASK_RUNS_TABLE, ["run_id", "task_run_id"])):
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": n, "KeyType": t} for n, t in zip(keys, ("HASH", "RANGE"), strict=False)],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
            BillingMode="PAY_PER_REQUEST",
        )
    return dynamodb


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
    return _session().client("s3", **_place(environ))


def _session() -> Any:
    return boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing")


def _place(environ: Mapping[str, str]) -> dict[str, Any]:
    return {"region_name": environ["AWS_REGION"], "endpoint_url": environ["AWS_ENDPOINT_URL"]}


def write_zip(path: Path, entries: Mapping[str, str]) -> bytes:
    """Write a ZIP of text files and return its bytes."""
    with ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path.read_bytes()
